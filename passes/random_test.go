package passes_test

import (
	"errors"
	"flag"
	"fmt"
	"maps"
	"math/rand"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"flagc/internal/diag"
	"flagc/ir"
	"flagc/ir/ops"
	"flagc/passes"
	"flagc/targets"
)

var (
	graphs    = flag.Int("graphs", 160, "how many random graphs TestRandomGraphs takes through the passes")
	graphsFor = flag.Duration("graphs-for", 0, "how long TestRandomGraphs goes on instead, whatever -graphs says")
	graphSeed = flag.Int64("graph-seed", 1, "the seed of the first random graph")
)

// TestRandomGraphs takes random modules through random sequences of passes: every value stays the same bits, texts
// read back, a pass that is run again changes nothing, one that refuses leaves the module as it was. By hand, for
// longer:
//
//	go test ./passes -run RandomGraphs -graphs 100000 -timeout 0
//	go test ./passes -run RandomGraphs -graphs-for 10m -graph-seed 1000000 -timeout 0
func TestRandomGraphs(t *testing.T) {
	start, tally, failures := time.Now(), map[string]int{}, 0
	for i := 0; *graphsFor == 0 && i < *graphs || time.Since(start) < *graphsFor; i++ {
		seed := *graphSeed + int64(i)
		if p := check(seed, tally); p != nil {
			t.Errorf("seed %d: %s", seed, report(p))
			if failures++; failures == 5 {
				break
			}
		}
	}
	t.Log(time.Since(start).Round(time.Second), tallied(tally))
	if *graphSeed != 1 || *graphsFor == 0 && *graphs < 50 {
		return // too few to have everything
	}
	for _, op := range ops.All.All() {
		if op == ops.Argmax || op == ops.Pick || op == ops.Perturb {
			continue // of kernels that fuse offers to callers
		}
		require.NotZero(t, tally["op "+op.Name], "no random graph has %s in the end", op.Name)
	}
	for _, p := range passes.Pipeline {
		require.NotZero(t, tally[p.Name+" changed something"], "%s never had anything to do", p.Name)
	}
}

// TestGraphsThatFailed takes graphs through the passes on which one of them was once wrong.
func TestGraphsThatFailed(t *testing.T) {
	for seed, what := range map[int64]string{
		777382:  "a gate and a value that two lists of experts spread over ranks met where neither rank had both",
		779323:  "the same with experts that other experts had spread",
		3088:    "an op that nothing reads behind the one that a function yields",
		1005690: "a value with two names in traces, its own and that of the layer that yields it",
	} {
		if p := check(seed, map[string]int{}); p != nil {
			t.Errorf("%s: %s", what, report(p))
		}
	}
}

// FuzzRandomGraphs lets the fuzzer choose seeds: go test ./passes -fuzz RandomGraphs -fuzztime 10m.
func FuzzRandomGraphs(f *testing.F) {
	f.Add(int64(0))
	f.Fuzz(func(t *testing.T, seed int64) {
		if p := check(seed, map[string]int{}); p != nil {
			t.Errorf("seed %d: %s", seed, report(p))
		}
	})
}

func tallied(tally map[string]int) string {
	var out strings.Builder
	for _, k := range slices.Sorted(maps.Keys(tally)) {
		fmt.Fprintf(&out, "\n  %8d %s", tally[k], k)
	}
	return out.String()
}

// step is one pass of a sequence.
type step struct {
	pass passes.Pass
	opts passes.Options
}

func (s step) String() string {
	o := s.opts
	return fmt.Sprintf("%s{target=%s precision=%s tp=%d ogroups=%s pairs=%s scores=%s official=%t}", s.pass.Name, o.Target.Name,
		o.Precision, o.TP, o.OGroups, o.Pairs, o.Scores, o.Official)
}

// sequence draws passes in any order, most often in that of the pipeline, and what the build is made for.
func sequence(r *rand.Rand, m *ir.Module) []step {
	opts := passes.Options{Target: targets.CPU, Precision: drawn(r, targets.Policies()...),
		TP:      drawn(r, 1, 2, 2, 2, 2, 3, 4, 4, 6, 8, 16),
		OGroups: drawn(r, "", "", passes.Gather, passes.Reduce), Pairs: drawn(r, passes.Auto, passes.Split, passes.Whole),
		Scores: drawn(r, passes.Auto, passes.Split, passes.Whole), Official: r.Intn(4) == 0}
	if r.Intn(4) == 0 {
		opts.Target = drawn(r, targets.All()...)
		opts.Precision = drawn(r, opts.Precision, "")
	}
	if r.Intn(4) > 0 {
		opts = legal(r, m, opts)
	}
	var out []step
	for _, p := range passes.Pipeline {
		if r.Intn(6) > 0 {
			out = append(out, step{p, opts})
		}
	}
	if r.Intn(3) == 0 {
		for range 1 + r.Intn(3) {
			opts.Precision = drawn(r, targets.Policies()...)
			out = append(out, step{drawn(r, passes.Pipeline...), opts})
		}
		r.Shuffle(len(out), func(i, j int) { out[i], out[j] = out[j], out[i] })
	}
	return out
}

// legal draws a number of ranks that the module can be split over, a grid of ranks where there is one.
func legal(r *rand.Rand, m *ir.Module, opts passes.Options) passes.Options {
	var degrees, grids []int
	for _, d := range passes.Degrees(m, opts, 16)[1:] {
		if d.Legal {
			degrees = append(degrees, d.TP)
		}
		if d.Legal && d.Grid != "" {
			grids = append(grids, d.TP)
		}
	}
	switch {
	case len(grids) > 0 && r.Intn(2) == 0:
		opts.TP = drawn(r, grids...)
	case len(degrees) > 0:
		opts.TP = drawn(r, degrees...)
	}
	return opts
}

func drawn[T any](r *rand.Rand, list ...T) T { return list[r.Intn(len(list))] }

// problem is what went wrong with a module on its way through passes.
type problem struct {
	kind  string // what a smaller module must have in common
	text  string
	m     *ir.Module // as it was grown
	seed  int64
	steps []step
}

func (p *problem) Error() string { return p.kind + ": " + p.text }

// check grows the module of a seed and takes it through the seed's passes.
func check(seed int64, tally map[string]int) *problem {
	m := grow(seed)
	return walk(m, seed, sequence(rand.New(rand.NewSource(seed)), m), tally)
}

// walk takes a module through passes; the module itself stays as it is.
func walk(m *ir.Module, seed int64, steps []step, tally map[string]int) *problem {
	fail := func(kind, format string, args ...any) *problem {
		return &problem{kind, fmt.Sprintf(format, args...), m, seed, steps}
	}
	if text := unsound(m); text != "" {
		return fail("grown", "%s", text)
	}
	w, weights := m.Clone(), served{seed, map[string]*ir.Tensor{}}
	was, err := run(w, weights)
	if err != nil {
		return fail("grown", "%v", err)
	}
	tally["graphs"]++
	for i, s := range steps {
		kind, mesh, text := fmt.Sprintf("%s %d", s.pass.Name, i), w.Mesh, w.String()
		refused, wrong := s.apply(w)
		if refused {
			tally[s.pass.Name+" refused"]++
		}
		if wrong != "" {
			return fail(kind+" "+strings.SplitN(wrong, ":", 2)[0], "%s", wrong)
		}
		if refused {
			continue
		}
		tally[s.pass.Name]++
		if w.String() != text {
			tally[s.pass.Name+" changed something"]++
		}
		is, err := run(w, weights)
		if err != nil {
			return fail(kind+" run", "%v", err)
		}
		if s.keeps() {
			if mesh == nil && w.Mesh != nil {
				was = onRank0(was, is, traced(w))
			}
			if text := differs(was, is); text != "" {
				return fail(kind+" differs", "%s", text)
			}
		}
		was = is
	}
	for _, f := range w.Inline().Funcs {
		for _, in := range f.Body {
			tally["op "+in.Name()]++
		}
	}
	return nil
}

// keeps reports whether a pass keeps every bit: without quantised activations the results are others.
func (s step) keeps() bool {
	p := s.opts.Precision
	if p == "" {
		p = s.opts.Target.Policy
	}
	return s.pass.Name != "lower-precision" || p != targets.PolicyBF16 && p != targets.PolicyW4A16
}

// apply runs the pass and holds what must be true of the module then, whatever it computes.
func (s step) apply(m *ir.Module) (refused bool, text string) {
	before := m.String()
	if err := s.run(m); err != nil {
		switch {
		case m.String() != before:
			return true, fmt.Sprintf("a refusal changed the module: %v", err)
		case !s.reasonable(err):
			return true, fmt.Sprintf("refused without a reason: %v", err)
		}
		return true, unsound(m)
	}
	if text := unsound(m); text != "" {
		return false, text
	}
	if text := torn(m); text != "" {
		return false, text
	}
	once := m.String()
	if err := s.run(m); err != nil {
		return false, fmt.Sprintf("refused the second time: %v", err)
	}
	if m.String() != once {
		return false, "changed by a second run: " + firstDifference(once, m.String())
	}
	return false, ""
}

func (s step) run(m *ir.Module) (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("panic: %v", r)
		}
	}()
	return s.pass.Run(m, s.opts)
}

// reasonable reports whether a pass refused because of the target, or named what in the module stands against it.
func (s step) reasonable(err error) bool {
	p := s.opts.Precision
	if p == "" {
		p = s.opts.Target.Policy
	}
	if s.opts.Target.Allows(p) != nil || errors.Is(err, passes.ErrFused) {
		return true
	}
	var list *diag.Errors
	return errors.As(err, &list) && len(list.Items) > 0
}

// unsound says what is wrong with a module: it must verify, read back, and be equal to its copy.
func unsound(m *ir.Module) string {
	if err := m.Verify(); err != nil {
		return fmt.Sprintf("does not verify: %v", err)
	}
	text := m.String()
	if copied := m.Clone().String(); copied != text {
		return "the copy is another: " + firstDifference(text, copied)
	}
	read, err := ir.ParseModule(text, "random.ir", ops.All)
	if err != nil {
		return fmt.Sprintf("does not parse: %v", err)
	}
	if again := read.String(); again != text {
		return "reads back as another: " + firstDifference(text, again)
	}
	if err := read.Verify(); err != nil {
		return fmt.Sprintf("does not verify when read back: %v", err)
	}
	return ""
}

// torn names a weight whose scale blocks a split tears apart.
func torn(m *ir.Module) string {
	for _, set := range m.Params {
		for _, w := range set.Weights {
			t := w.Value.Type
			last := len(t.Dims) - 1
			for i, d := range t.Dims {
				if d.Split == 0 || !t.Elem.IsQuantised() || w.IsMany() && i == 0 {
					continue
				}
				part, block := 1, t.Elem.Rows
				if i == last {
					block = t.Elem.Cols
				}
				for _, e := range t.Dims[i:max(i+1, last)] {
					k, _ := e.Size.IsConst()
					part *= k
				}
				if part%block != 0 {
					return fmt.Sprintf("torn: a part of $%s: %s ends within a scale block", w.Value.Name, t)
				}
			}
		}
	}
	return ""
}

func firstDifference(a, b string) string {
	x, y := strings.Split(a, "\n"), strings.Split(b, "\n")
	for i := range x {
		if i >= len(y) {
			return "the second ends after line " + fmt.Sprint(i)
		}
		if x[i] != y[i] {
			return fmt.Sprintf("line %d\n-%s\n+%s", i+1, x[i], y[i])
		}
	}
	return "the second is longer"
}
