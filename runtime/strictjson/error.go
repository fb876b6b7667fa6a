package strictjson

import "strconv"

// Reason tells errors apart for callers that treat some specially.
type Reason uint8

// Why a document or value was refused.
const (
	Syntax    Reason = iota // not JSON
	Duplicate               // a key occurs twice in one object
	Encoding                // invalid UTF-8 or an unpaired surrogate
	Limit                   // deeper, longer or with more values than Limits allow
	Content                 // well-formed, but not the kind or value that was asked for
)

// Error is the type of every error of this package.
type Error struct {
	Pos    Pos
	Path   string // dotted path of the value concerned, "" at the root
	Reason Reason
	Msg    string
}

// Error returns "line:column: path: message".
func (e *Error) Error() string {
	if e.Path == "" {
		return e.Pos.String() + ": " + e.Msg
	}
	return e.Pos.String() + ": " + clip(e.Path) + ": " + e.Msg
}

// clip shortens hostile text to what a terminal line can show, and escapes what it should not.
func clip(s string) string {
	const longest = 200
	if len(s) > longest {
		s = s[:longest] + "..."
	}
	q := strconv.Quote(s)
	return q[1 : len(q)-1]
}
