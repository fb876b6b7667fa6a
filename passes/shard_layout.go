package passes

import (
	"fmt"
	"slices"

	"flagc/ir"
)

// Layout is what is left to choose when a model is split over a number of ranks.
type Layout struct {
	// Groups says how a grouped projection with fewer groups than ranks is computed; "" where there is none.
	Groups Groups `json:"ogroups,omitempty"`
	// Pairs splits a pair of projections with nothing but pointwise work between them, such as a shared expert.
	Pairs bool `json:"pairs_split"`
	// Scores splits the heads that rate entries. Each rank then has a part of every score.
	Scores bool `json:"scores_split"`
}

// Groups is a strategy for a grouped projection that has fewer groups than there are ranks.
type Groups string

// The strategies. By gather, the ranks of a group gather its heads and all compute the whole group's projection. By
// reduce, each multiplies its own heads by its own columns and the sums are scattered.
const (
	Gather Groups = "gather"
	Reduce Groups = "reduce"
)

// ParseGroups reads a strategy's name; "" leaves the choice to the cost model.
func ParseGroups(name string) (Groups, error) {
	switch g := Groups(name); g {
	case "", Gather, Reduce:
		return g, nil
	}
	return "", fmt.Errorf("unknown o-group strategy %q: there are gather and reduce", name)
}

// Choice leaves something to the cost model or decides it.
type Choice string

// The choices.
const (
	Auto  Choice = ""
	Split Choice = "split"
	Whole Choice = "whole"
)

// ParseChoice reads a choice's name.
func ParseChoice(name string) (Choice, error) {
	switch c := Choice(name); c {
	case Auto, Split, Whole:
		return c, nil
	}
	return "", fmt.Errorf("%q: expected split or whole", name)
}

func (c Choice) options() []bool {
	switch c {
	case Split:
		return []bool{true}
	case Whole:
		return []bool{false}
	}
	return []bool{true, false}
}

// kind says what splitting a weight costs.
type kind int

const (
	always kind = iota // split in every layout
	pairs
	scores
)

func (l Layout) splits(k kind) bool {
	return k == always || k == pairs && l.Pairs || k == scores && l.Scores
}

// legalLayouts lists the layouts that a number of ranks allows, within what the options fix; if there is none, every
// reason, each once.
func legalLayouts(m *ir.Module, opts Options) ([]Layout, []Reason) {
	var legal []Layout
	var against []Reason
	strategies := []Groups{Reduce, Gather}
	if opts.OGroups != "" {
		strategies = []Groups{opts.OGroups}
	}
	for _, g := range strategies {
		s := newSharder(m, opts.TP, Layout{Groups: g})
		found := s.follow()
		if s.grid == nil {
			s.layout.Groups = ""
		}
		var reasons []Reason // against the last, which splits the least
		for _, p := range opts.Pairs.options() {
			for _, c := range opts.Scores.options() {
				l := Layout{s.layout.Groups, p, c}
				if reasons = s.reasons(found, l); len(reasons) == 0 {
					legal = append(legal, l)
				}
			}
		}
		against = merge(against, reasons)
		if s.grid == nil {
			break
		}
	}
	if len(legal) > 0 {
		return legal, nil
	}
	return nil, needed(against)
}

// reasons lists what stands against a layout.
func (s *sharder) reasons(found []candidate, l Layout) []Reason {
	var out []Reason
	for _, text := range s.clashes {
		out = merge(out, []Reason{{Text: text}})
	}
	for _, c := range found {
		if !l.splits(c.kind) {
			continue
		}
		for _, r := range c.found {
			if s.grid != nil {
				r.Layout = string(l.Groups)
			}
			out = merge(out, []Reason{r})
		}
	}
	return out
}

// merge appends reasons whose text is new.
func merge(have, more []Reason) []Reason {
	for _, r := range more {
		if !slices.ContainsFunc(have, func(h Reason) bool { return h.Text == r.Text && h.Layout == r.Layout }) {
			have = append(have, r)
		}
	}
	return have
}

// needed drops the strategy from reasons that stand against both.
func needed(all []Reason) []Reason {
	var out []Reason
	for _, r := range all {
		twin := slices.ContainsFunc(all, func(o Reason) bool { return o.Text == r.Text && o.Layout != r.Layout })
		if twin {
			r.Layout = ""
		}
		out = merge(out, []Reason{r})
	}
	return out
}

// cheapest plans the layout with the shortest time for a decoded token; of equals the first.
func cheapest(m *ir.Module, layouts []Layout, opts Options) (plan, error) {
	var best plan
	least := 0.0
	for i, l := range layouts {
		p, try, err := settle(m, opts.TP, l)
		if err != nil {
			return best, err
		}
		if t := decodeTime(try, opts); i == 0 || t < least {
			best, least = p, t
		}
	}
	return best, nil
}

// Degree is what can be said of one number of ranks.
type Degree struct {
	TP      int      `json:"tp"`
	Legal   bool     `json:"legal"`
	Reasons []Reason `json:"reasons"` // against it
	Layouts []Layout `json:"layouts"` // that are legal
	Grid    string   `json:"grid,omitempty"`
	Beside  []Reason `json:"beside"` // against what is not needed: what stays whole, which strategy cannot be
}

// Degrees describes each number of ranks from 1 to most.
func Degrees(m *ir.Module, opts Options, most int) []Degree {
	out := make([]Degree, most)
	out[0] = Degree{TP: 1, Legal: true}
	for n := 2; n <= most; n++ {
		opts.TP = n
		out[n-1] = degree(m, opts)
	}
	return out
}

func degree(m *ir.Module, opts Options) Degree {
	d := Degree{TP: opts.TP}
	d.Layouts, d.Reasons = legalLayouts(m, opts)
	d.Legal = len(d.Layouts) > 0
	for _, g := range []Groups{Reduce, Gather} {
		s := newSharder(m, opts.TP, Layout{Groups: g})
		d.Beside = merge(d.Beside, s.reasons(s.follow(), Layout{g, true, true}))
		if s.grid == nil {
			break
		}
		d.Grid = s.mesh().String()
	}
	d.Beside = slices.DeleteFunc(needed(d.Beside), func(r Reason) bool {
		return slices.ContainsFunc(d.Reasons, func(o Reason) bool { return o.Text == r.Text })
	})
	return d
}

// Strategies lists the o-group strategies that are legal at the degree, without repetition.
func (d Degree) Strategies() []Groups {
	var out []Groups
	for _, l := range d.Layouts {
		if !slices.Contains(out, l.Groups) {
			out = append(out, l.Groups)
		}
	}
	return out
}
