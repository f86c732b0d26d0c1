package broken

func TestIsNotCompiled(t *testing.T) {}
