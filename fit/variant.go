package fit

import (
	"fmt"
	"slices"
	"sort"

	"flagc/ir"
	"flagc/passes"
	"flagc/targets"
)

// variant is the model lowered for one policy and degree.
type variant struct {
	module *ir.Module
	row    Row
}

// variants lowers the model for every policy and every degree that is legal with it.
func (q Question) variants(a *Answer, policies []targets.Policy) ([][]*variant, error) {
	degrees, err := q.degrees(policies)
	if err != nil {
		return nil, err
	}
	all := make([][]*variant, len(policies))
	err = each(policies, func(i int, policy targets.Policy) error {
		for _, n := range legal(degrees[i]) {
			v, err := q.variant(policy, n, a.Device)
			if err != nil {
				return err
			}
			all[i] = append(all[i], v)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	for _, list := range all {
		for _, v := range list {
			a.Legal = append(a.Legal, v.row.Cards)
			if v.row.Verdict == Fits && (a.Fewest == 0 || v.row.Cards < a.Fewest) {
				a.Fewest = v.row.Cards
			}
		}
	}
	slices.Sort(a.Legal)
	a.Legal = slices.Compact(a.Legal)
	return all, nil
}

func (q Question) variant(policy targets.Policy, cards int, d Device) (*variant, error) {
	opts := q.options(policy, cards)
	v := &variant{module: q.Model.Clone(), row: Row{Policy: policy, Cards: cards, Changes: []string{}}}
	if err := passes.Lower(v.module, opts); err != nil {
		return nil, fmt.Errorf("policy %s on %d cards: %w", policy, cards, err)
	}
	if mesh := v.module.Mesh; mesh != nil {
		v.row.Mesh = mesh.String()
	}
	var err error
	if v.row.Memory, err = passes.MemoryFor(v.module, opts); err != nil {
		return nil, err
	}
	v.row.Verdict = Unknown
	if d.Known {
		v.row.Free, v.row.Verdict = d.Usable-v.row.Memory.Total, Fits
		if v.row.Free < 0 {
			v.row.Verdict = TooMuch
		}
	}
	return v, nil
}

// finish fills in what is asked of the rows that are shown: time, longest context, and what would help.
func (v *variant) finish(q Question, a *Answer, all [][]*variant) error {
	var err error
	if v.row.Seconds, v.row.Cost, err = passes.DecodeTime(v.module, q.Options.Target, a.Batch, a.Context); err != nil {
		return err
	}
	if !a.Device.Known {
		return nil
	}
	if v.row.Longest, err = v.longest(q, a); err != nil {
		return err
	}
	if v.row.Verdict == TooMuch {
		v.row.Changes, err = v.changes(q, a, all)
	}
	return err
}

// contextLimit bounds the search where the model's configuration does not.
const contextLimit = 1 << 23

// longest is the largest context whose plan fits.
func (v *variant) longest(q Question, a *Answer) (int, error) {
	most := a.MaxContext
	if most == 0 {
		most = contextLimit
	}
	opts := q.options(v.row.Policy, v.row.Cards)
	return v.most(most, a.Device.Usable, func(n int) passes.Options {
		opts.Context, opts.Chunk = n, min(a.Chunk, n)
		return opts
	})
}

// most is the largest n up to a limit whose plan fits; 0 if none does. What a rank holds grows with every size, so
// bisection finds it.
func (v *variant) most(limit, usable int, sizes func(n int) passes.Options) (int, error) {
	var err error
	n := sort.Search(limit, func(i int) bool { // the first i where i+1 does not fit
		total, e := passes.TotalFor(v.module, sizes(i+1))
		if e != nil && err == nil {
			err = e
		}
		return total > usable
	})
	return n, err
}

// changes lists what would make a row fit that does not: a shorter context, shorter prefill calls, another policy on as
// many cards, more cards with this policy.
func (v *variant) changes(q Question, a *Answer, all [][]*variant) ([]string, error) {
	out := []string{}
	if n := v.row.Longest; n > 1 {
		out = append(out, fmt.Sprintf("a context of at most %s", thousands(n)))
	}
	opts := q.options(v.row.Policy, v.row.Cards)
	chunk, err := v.most(a.Chunk, a.Device.Usable, func(n int) passes.Options {
		opts.Chunk = n
		return opts
	})
	if err != nil {
		return nil, err
	}
	if chunk > 0 {
		out = append(out, fmt.Sprintf("prefill calls of at most %s tokens", thousands(chunk)))
	}
	var more []string
	for _, list := range all {
		for _, o := range list {
			switch {
			case o.row.Verdict != Fits:
			case o.row.Cards == v.row.Cards && o.row.Policy != v.row.Policy:
				out = append(out, fmt.Sprintf("policy %s", o.row.Policy))
			case o.row.Cards > v.row.Cards && o.row.Policy == v.row.Policy && more == nil:
				more = []string{cards(o.row.Cards)}
			}
		}
	}
	return append(out, more...), nil
}
