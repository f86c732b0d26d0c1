package kinds

import (
	"fmt"
	"testing"
)

func TestPasses(t *testing.T) { fmt.Println("said \x01 something") }
func TestFails(t *testing.T)  { t.Error("one is not two") }
func TestSkipsItself(t *testing.T) { t.Skip("here neither") }
func TestOfNumbers(t *testing.T) {
	for number := 1; number <= 3; number++ {
		t.Run(fmt.Sprint(number), func(t *testing.T) {
			if number == 2 {
				t.Fail()
			}
		})
	}
}
func TestOfEquals(t *testing.T) {
	for number := 1; number <= 3; number++ {
		t.Run("equal", func(t *testing.T) {})
	}
}
