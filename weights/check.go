package weights

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"flagc/internal/diag"
	"flagc/ir"
	"flagc/runtime/safetensors"
)

// CheckOptions say how deep Check looks.
type CheckOptions struct {
	// Values reads every byte and not only the files' headers: NaN scales and codes, numbers that are not
	// finite, and tables that name experts which do not exist.
	Values bool
}

// CheckError is what Check found wrong with a checkpoint.
type CheckError struct {
	Dir      string
	Problems []*diag.Diagnostic // at most diag.Limit, the most telling first
	More     int                // how many there were beyond those
}

// Error lists the problems, one a line, and counts those that are not listed.
func (e *CheckError) Error() string {
	lines := make([]string, 0, len(e.Problems)+2)
	lines = append(lines, fmt.Sprintf("checkpoint %s does not fit the model:", e.Dir))
	for _, p := range e.Problems {
		lines = append(lines, "  "+p.Error())
	}
	if e.More > 0 {
		lines = append(lines, fmt.Sprintf("  and %s more", problems(e.More)))
	}
	return strings.Join(lines, "\n")
}

// Unwrap gives renderers of diagnostics the problems, the count of the others as a note to the last.
func (e *CheckError) Unwrap() error {
	items := slices.Clone(e.Problems)
	if e.More > 0 {
		last := *items[len(items)-1]
		last.Notes = append(slices.Clone(last.Notes), diag.Note{Text: "and " + problems(e.More) + " more"})
		items[len(items)-1] = &last
	}
	return &diag.Errors{Items: items, Dropped: e.More}
}

// Check compares a checkpoint with what the model expects: every tensor there, with its dtype and shape, and
// nothing else. A checkpoint of a known other kind is answered with one sentence that says which. The
// error is a *CheckError. That no tensor is in two files is checked where checkpoints are opened.
func Check(m *ir.Module, c *safetensors.Checkpoint, opts CheckOptions) error {
	v := newView(m, c)
	found := v.variant()
	if found == nil {
		found = v.structure()
		if opts.Values {
			// With another number of experts every table would be wrong; that is said once already.
			found = append(found, v.values(len(found) == 0)...)
		}
	}
	if len(found) == 0 {
		return nil
	}
	e := &CheckError{Dir: c.Dir(), More: max(0, len(found)-diag.Limit)}
	for _, f := range found[:len(found)-e.More] {
		e.Problems = append(e.Problems, f())
	}
	return e
}

// finding tells of a problem. Only those that are shown are put into words: a foreign checkpoint can have a
// hundred thousand, and the search for the nearest name takes time.
type finding func() *diag.Diagnostic

// told is a finding that is in words already.
func told(d *diag.Diagnostic) finding { return func() *diag.Diagnostic { return d } }

// bunches collects tensors that share a problem, told once with the first of them.
type bunches struct {
	byKey map[string]*bunch
	order []*bunch
}

type bunch struct {
	pattern string // of the names
	others  int    // how many there are beyond the first
	first   finding
}

// add counts one more tensor with the problem of that key, and of that pattern of names.
func (b *bunches) add(key, pattern string, first finding) {
	if have := b.byKey[key]; have != nil {
		have.others++
		return
	}
	if b.byKey == nil {
		b.byKey = map[string]*bunch{}
	}
	b.byKey[key] = &bunch{pattern: pattern, first: first}
	b.order = append(b.order, b.byKey[key])
}

// findings are the problems in the order in which they were met; format says how many others there are, of
// which pattern.
func (b *bunches) findings(format string) (out []finding) {
	for _, one := range b.order {
		out = append(out, func() *diag.Diagnostic {
			d := one.first()
			if one.others > 0 {
				d.Message += fmt.Sprintf(format, grouped(int64(one.others)), one.pattern)
			}
			return d
		})
	}
	return out
}

// view is a checkpoint beside what is expected of it.
type view struct {
	checkpoint *safetensors.Checkpoint
	expected   []Tensor
	found      []safetensors.Tensor // parallel to expected; Name is "" where there is none
	byName     map[string]int       // index in expected
	instances  []string             // layers and blocks of the model, in the order of expected
	of         map[string][]int     // instance to its part of expected
	extra      []safetensors.Tensor // tensors that are not expected, by name
	files      map[string]string    // instance to a file that holds tensors of it
	names      []string             // all names of the checkpoint, sorted
}

func newView(m *ir.Module, c *safetensors.Checkpoint) *view {
	v := &view{checkpoint: c, expected: inOrder(Expected(m)), names: c.Names()}
	v.files, v.of = map[string]string{}, map[string][]int{}
	v.found = make([]safetensors.Tensor, len(v.expected))
	v.byName = make(map[string]int, len(v.expected))
	for i, e := range v.expected {
		v.byName[e.Name] = i
		if v.of[e.Instance] == nil && e.Instance != "" {
			v.instances = append(v.instances, e.Instance)
		}
		v.of[e.Instance] = append(v.of[e.Instance], i)
	}
	for _, name := range v.names {
		t, _ := c.Tensor(name)
		i, ok := v.byName[name]
		if !ok {
			v.extra = append(v.extra, t)
			continue
		}
		v.found[i] = t
		v.files[v.expected[i].Instance] = t.File
	}
	return v
}

// inOrder sorts tensors by block as people count: those of the whole model, layers by number, MTP blocks.
func inOrder(all []Tensor) []Tensor {
	type rank struct {
		kind   string
		number int
	}
	ranks := map[string]rank{}
	for _, t := range all {
		if _, have := ranks[t.Instance]; !have {
			kind, number, _ := strings.Cut(t.Instance, ".")
			n, _ := strconv.Atoi(number) // a name without a number stays among its kind as it is
			ranks[t.Instance] = rank{kind, n}
		}
	}
	slices.SortStableFunc(all, func(a, b Tensor) int {
		if a.Instance == b.Instance {
			return 0
		}
		x, y := ranks[a.Instance], ranks[b.Instance]
		return cmp.Or(cmp.Compare(x.kind, y.kind), cmp.Compare(x.number, y.number))
	})
	return all
}

// missing reports whether expected tensor i is not there.
func (v *view) missing(i int) bool { return v.found[i].Name == "" }

// fits reports whether expected tensor i is there as it should be.
func (v *view) fits(i int) bool { return !v.missing(i) && differs(v.expected[i], v.found[i]) == nil }

// differs says what is wrong with the dtype or shape of a tensor, or returns nil.
func differs(e Tensor, t safetensors.Tensor) *diag.Diagnostic {
	what := "shape"
	switch {
	case t.DType != e.DType:
		what = "dtype"
	case slices.Equal(t.Shape, e.Shape):
		return nil
	}
	return diag.New(diag.Span{File: t.File}, what, "tensor %s: expected %s %v, found %s %v",
		e.Name, e.DType, e.Shape, t.DType, t.Shape).
		WithHelp("config.json and the files must be of one release; take both from the same revision")
}

// problems is a number of problems in words.
func problems(n int) string { return plural(n, "problem") }

// plural writes "1 tensor", "2 tensors", "1,606 tensors".
func plural(n int, word string) string {
	if n == 1 {
		return "1 " + word
	}
	return grouped(int64(n)) + " " + word + "s"
}

// grouped writes a count with commas between thousands.
func grouped(n int64) string {
	text := fmt.Sprint(n)
	for at := len(text) - 3; at > 0; at -= 3 {
		text = text[:at] + "," + text[at:]
	}
	return text
}

// list joins names as a sentence does, cut after three.
func list(names []string) string {
	const shown = 3
	switch n := len(names); {
	case n == 1:
		return names[0]
	case n <= shown:
		return strings.Join(names[:n-1], ", ") + " and " + names[n-1]
	default:
		return fmt.Sprintf("%s and %s more", strings.Join(names[:shown], ", "), grouped(int64(n-shown)))
	}
}
