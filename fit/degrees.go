package fit

import (
	"errors"
	"fmt"
	"slices"
	"sort"
	"sync"

	"flagc/internal/diag"
	"flagc/passes"
	"flagc/targets"
)

// each does something for every policy. They are independent of each other, so they are looked at side by side.
func each(policies []targets.Policy, do func(i int, p targets.Policy) error) error {
	failed := make([]error, len(policies))
	var wg sync.WaitGroup
	for i, p := range policies {
		wg.Go(func() { failed[i] = do(i, p) })
	}
	wg.Wait()
	return errors.Join(failed...)
}

// degrees describes the numbers of cards for each policy: what is quantised has blocks that parts may not cut. One that
// is asked for and legal with none is refused.
func (q Question) degrees(policies []targets.Policy) ([][]passes.Degree, error) {
	if q.Cards < 0 || q.Cards > MaxCards {
		return nil, fmt.Errorf("%d cards: expected 1 to %d", q.Cards, MaxCards)
	}
	all := make([][]passes.Degree, len(policies))
	err := each(policies, func(i int, policy targets.Policy) error {
		m, opts := q.Model.Clone(), q.options(policy, 1)
		_, err := passes.Run(m, opts, passes.Pipeline[0].Name)
		all[i] = passes.Degrees(m, opts, MaxCards)
		return err
	})
	asked := func(d []passes.Degree) bool { return q.Cards == 0 || d[q.Cards-1].Legal }
	if err != nil || slices.ContainsFunc(all, asked) {
		return all, err
	}
	return nil, q.illegal(all)
}

// illegal says why a number of cards is not legal: every reason with the policy that has the fewest, and the nearest
// degrees that are legal.
func (q Question) illegal(all [][]passes.Degree) error {
	degrees := slices.MinFunc(all, func(a, b []passes.Degree) int {
		return len(a[q.Cards-1].Reasons) - len(b[q.Cards-1].Reasons)
	})
	d := diag.New(diag.Span{}, "shard1", "%s cannot be split over %d cards", q.Model.Name, q.Cards)
	for _, r := range degrees[q.Cards-1].Reasons {
		d = d.WithNote(diag.Span{}, "%s: %s", r.Weight, r)
	}
	return d.WithHelp("legal next to it: %s", nearest(legal(degrees), q.Cards))
}

func legal(degrees []passes.Degree) []int {
	var out []int
	for _, d := range degrees {
		if d.Legal {
			out = append(out, d.TP)
		}
	}
	return out
}

// nearest names the legal degrees on both sides of n.
func nearest(legal []int, n int) string {
	i := sort.SearchInts(legal, n)
	switch {
	case i == len(legal):
		return fmt.Sprint(legal[i-1])
	case i == 0:
		return fmt.Sprint(legal[0])
	}
	return fmt.Sprintf("%d and %d", legal[i-1], legal[i])
}
