package tile

// Verify is to come.
func Verify(p *Program) error { return nil }
