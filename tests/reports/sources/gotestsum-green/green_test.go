package kinds

import "testing"

func TestPasses(t *testing.T) {}
func TestSkipsItself(t *testing.T) { t.Skip("here neither") }
func TestOfEquals(t *testing.T) {
	for number := 1; number <= 3; number++ {
		t.Run("equal", func(t *testing.T) {})
	}
}
