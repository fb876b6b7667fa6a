package tritoncheck

import (
	"errors"
	"fmt"
)

// State is the outcome of one check of one kernel.
type State string

// The outcomes. NotPossible always comes with a reason.
const (
	Passed      State = "passed"
	Failed      State = "failed"
	NotPossible State = "not possible here"
)

// Cell is one place in the table kernel × check.
type Cell struct {
	State  State          `json:"state"`
	Why    string         `json:"why,omitempty"`
	Detail map[string]any `json:"detail,omitempty"`
}

// Pass is a cell for a check that succeeded; detail may be nil.
func Pass(detail map[string]any) Cell { return Cell{State: Passed, Detail: detail} }

// CellOf is a cell for the error of a check: passed for nil, not possible for Unavailable, else failed.
func CellOf(err error) Cell {
	var u *Unavailable
	switch {
	case err == nil:
		return Cell{State: Passed}
	case errors.As(err, &u):
		return Cell{State: NotPossible, Why: u.Error()}
	}
	return Cell{State: Failed, Why: err.Error()}
}

// Unavailable says that a tool is missing on this machine and which checks therefore do not run.
type Unavailable struct {
	Tool   string // what is missing: "Python 3.11 or 3.12"
	Checks string // what does not run: "the interpreter and ahead-of-time compilation"
	Err    error  // why it could not be had; may be nil
}

func (u *Unavailable) Error() string {
	s := fmt.Sprintf("%s: no %s on this machine", u.Checks, u.Tool)
	if u.Err != nil {
		s += ": " + u.Err.Error()
	}
	return s
}

func (u *Unavailable) Unwrap() error { return u.Err }
