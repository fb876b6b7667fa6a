package ir

// Meeting counts where ranks meet as one walks through a body: a run of collectives over the same ranks, with nothing
// but views between them and none of which needs another's result, can be one exchange. Its zero value begins a body.
type Meeting struct {
	over string
	open bool
	came map[*Value]bool // what the run has yielded
}

// Begins reports whether the instruction, the next of the body, is a collective that cannot be part of the run before
// it. Calls and launches end a run.
func (m *Meeting) Begins(in *Instr) bool {
	switch {
	case in.Op != nil && in.Op.Class == View:
		return false
	case in.Op == nil || in.Op.Class != Collective:
		*m = Meeting{}
		return false
	}
	over := in.Attrs.Str("over")
	begins := !m.open || m.over != over || m.came[in.Args[0].Root()]
	if begins {
		*m = Meeting{over: over, open: true, came: map[*Value]bool{}}
	}
	m.came[in.Results[0]] = true
	return begins
}
