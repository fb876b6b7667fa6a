package passes

import (
	"fmt"

	"flagc/internal/diag"
	"flagc/ir"
)

// shard splits weights and values over the ranks of a mesh and puts collectives where a result is a part of a
// sum or a whole axis is needed. What can be split follows from the ops' signatures: an axis of a weight is a
// candidate if everything that is made of it keeps it until an op sums over it (see path). Of the layouts that
// are legal, the cheapest is taken. The module becomes the program of one rank, the same on all.
func shard(m *ir.Module, opts Options) error {
	if opts.TP < 2 || m.Mesh.Ranks() == opts.TP {
		return nil
	}
	if m.Mesh != nil {
		d := diag.New(diag.Span{File: m.Source}, "shard2", "the module is the program of one of %d ranks already (mesh %s), not of %d",
			m.Mesh.Ranks(), m.Mesh, opts.TP)
		return &diag.Errors{Items: []*diag.Diagnostic{d.WithHelp("split it from before shard")}}
	}
	if opts.Official {
		opts.Pairs, opts.Scores = Whole, Split
	}
	layouts, against := legalLayouts(m, opts)
	if len(layouts) == 0 {
		return illegal(m, opts, against)
	}
	best, err := cheapest(m, layouts, opts)
	if err != nil {
		return err
	}
	if opts.Chosen != nil {
		*opts.Chosen = best.layout
	}
	return best.sharder(m, opts.TP).module()
}

// illegal is the error for a number of ranks that no layout allows: every reason, and the degrees next to it.
func illegal(m *ir.Module, opts Options, against []Reason) error {
	var all []*diag.Diagnostic
	for _, r := range against {
		all = append(all, diag.New(r.at, "shard1", "%s", r))
	}
	all[len(all)-1].WithHelp("%s", nearest(m, opts))
	return &diag.Errors{Items: all} // not a diag.List, which stops at ten
}

// nearest names the legal degrees below and above one that is not. Above twice the degree it does not look.
func nearest(m *ir.Module, opts Options) string {
	legal := func(n int) bool {
		opts.TP = n
		layouts, _ := legalLayouts(m, opts)
		return n == 1 || len(layouts) > 0
	}
	tp, below, above := opts.TP, opts.TP-1, opts.TP+1
	for !legal(below) {
		below--
	}
	for above <= 2*tp && !legal(above) {
		above++
	}
	if above > 2*tp {
		return fmt.Sprintf("nearest legal degree: %d", below)
	}
	return fmt.Sprintf("nearest legal degrees: %d and %d", below, above)
}

// sharder splits one module into n parts by a layout.
type sharder struct {
	m       *ir.Module
	n       int
	layout  Layout
	grid    *ir.Dim // the axis that has fewer elements than there are ranks; nil for a mesh of one axis
	clashes []string
	uses    map[*ir.Value][]use
	of      map[*ir.Value]*ir.Weight
	split   map[*ir.Value]bool      // weights to be split along their first axis
	planned []candidate             // the same, with what their axes pass
	stay    map[string]bool         // weights that a plan leaves whole, by key
	taken   map[*ir.Value]*ir.Instr // weights that are whole, with an instruction that relies on it
	clash   *ir.Instr               // where rewriting failed
}

// The axes of a grid of ranks: those of one group share an o-group, and have a lane each.
const (
	group = "group"
	lane  = "lane"
)

// use is one place where a value is an operand.
type use struct {
	fn      *ir.Func
	in      *ir.Instr // nil where the function returns the value
	operand int
}

func newSharder(m *ir.Module, n int, layout Layout) *sharder {
	s := &sharder{m: m, n: n, layout: layout, uses: map[*ir.Value][]use{}, of: map[*ir.Value]*ir.Weight{},
		split: map[*ir.Value]bool{}, taken: map[*ir.Value]*ir.Instr{}}
	for _, set := range m.Params {
		for _, w := range set.Weights {
			s.of[w.Value] = w
		}
	}
	for _, f := range m.Funcs {
		for _, in := range f.Body {
			for i, a := range in.Args {
				if a != nil {
					s.uses[a] = append(s.uses[a], use{f, in, i})
				}
			}
		}
		for _, v := range f.Return {
			s.uses[v] = append(s.uses[v], use{fn: f})
		}
	}
	return s
}

// parts is the number of ranks over an axis of the mesh.
func (s *sharder) parts(over string) int { return s.mesh().Size(over) }

// mesh is a row of ranks, or a grid where an axis has fewer elements than there are ranks.
func (s *sharder) mesh() ir.Mesh {
	if s.grid == nil {
		return ir.Mesh{{Name: "tp", Size: s.n}}
	}
	g, _ := s.grid.Size.IsConst()
	return ir.Mesh{{Name: group, Size: g}, {Name: lane, Size: s.n / g}}
}

// module rewrites all functions into the program of a rank.
func (s *sharder) module() error {
	for _, c := range s.follow() {
		if s.layout.splits(c.kind) && !s.stay[c.key] {
			s.split[c.weight.Value] = true
			s.planned = append(s.planned, c)
		}
	}
	s.m.Mesh = s.mesh()
	for _, f := range s.m.Funcs {
		if err := s.function(f); err != nil {
			return fmt.Errorf("%s: %w", f.FullName(), err)
		}
	}
	return nil
}

// candidate is a weight that can be split along its first axis.
type candidate struct {
	weight *ir.Weight
	key    string // of the weight, the same in copies of the module
	kind   kind
	found  []Reason           // what is against this number of ranks
	passes map[*ir.Instr]bool // what its axis passes, or ends in
}

// follow looks at every weight. The first round finds the axis, if any, that makes the ranks a grid.
func (s *sharder) follow() []candidate {
	s.round()
	return s.round()
}

func (s *sharder) round() []candidate {
	var out []candidate
	for _, set := range s.m.Params {
		for _, w := range set.Weights {
			v := w.Value
			if len(v.Type.Dims) == 0 || len(s.uses[v]) == 0 || s.grid != nil && sameAxis(v.Type.Dims[0], *s.grid) {
				continue // an axis of the grid is split with what it is multiplied with
			}
			p := &path{sharder: s, weight: w, passes: map[*ir.Instr]bool{}}
			if p.value(v, place{}) {
				p.stored(w, 0, "")
				out = append(out, candidate{w, set.Name + "$" + v.Name, p.kind, p.found, p.passes})
			}
		}
	}
	return out
}

func sameAxis(a, b ir.Dim) bool { return a.Name == b.Name && a.Size.Equal(b.Size) }

// Reason says why a model cannot be split over a number of ranks.
type Reason struct {
	Weight string `json:"weight"`           // the first that meets it
	Layout string `json:"layout,omitempty"` // where it stands against one layout alone
	Text   string `json:"reason"`
	at     diag.Span
}

// String is the reason with what it stands against.
func (r Reason) String() string {
	if r.Layout == "" {
		return r.Text
	}
	return r.Layout + ": " + r.Text
}
