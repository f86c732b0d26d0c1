package panics

import "testing"

func TestPasses(t *testing.T) {}
func TestRaises(t *testing.T) { panic("nothing") }
func TestNeverRuns(t *testing.T) {}
