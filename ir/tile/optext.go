package tile

// OpText is to come.
func (p *Program) OpText(op *Op) string { return op.Code.String() }
