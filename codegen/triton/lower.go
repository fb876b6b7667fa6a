// Package triton turns the kernels of a lowered graph into tile programs, holds them against the rules of a target
// and prints them as Triton.
//
// A kernel function of the graph is a handful of ops that share a launch. Its results fall into sections: results that
// need the same heavy op are computed together, the others apart. Each section covers its results with blocks, one
// program instance for each, and pulls: it asks for a block of a result, which asks for the blocks of operands that it
// needs, down to what lies in memory. So a prologue is whatever stands between memory and an anchor, an epilogue
// whatever stands between an anchor and a result, and no combination of ops needs a kernel of its own.
//
// The package knows ops, shapes and traits of targets, and neither models nor vendors.
package triton

import (
	"fmt"
	"slices"
	"strings"

	"flagc/ir"
	"flagc/ir/tile"
	"flagc/targets"
)

// Lowered is one launch of the graph as programs that run one after the other.
type Lowered struct {
	Func     *ir.Func
	Programs []*tile.Program
	// Bindings say what each parameter of the programs is, by the parameter's name.
	Bindings map[string]Binding
	// ahead are the products of chosen experts whose first weights are loaded before the launch before has ended.
	ahead []*ir.Instr
}

// Source says where what a parameter points to comes from.
type Source string

// The sources of parameters.
const (
	FromValue  Source = "value"   // an argument or result of the kernel: its elements, or the codes of quantised ones
	FromScales Source = "scales"  // the scales of a quantised one
	FromRope   Source = "rope"    // cosines, then sines, of the positions of one rope
	FromSize   Source = "size"    // a runtime symbol
	FromFirst  Source = "first"   // the first index of this rank's part of a split axis
	FromWork   Source = "work"    // room between the programs of a launch: of the same value, or of the same name, the same
	FromTicket Source = "tickets" // zeros, which a launch leaves as zeros
)

// Binding is what a parameter is.
type Binding struct {
	Source Source
	Value  *ir.Value  // FromValue, FromScales, FromWork
	Rope   *ir.Instr  // FromRope: any of the ropes that share the table
	Symbol string     // FromSize
	Axis   ir.Dim     // FromFirst
	Shape  []ir.Size  // FromTicket, and FromWork without a value: the extents
	DType  tile.DType // of the elements there
	Moved  []ir.Size  // where a launch may move less of it: the extents of what it moves at least
}

// Least is the extents of what a launch moves of a room at least.
func (b Binding) Least() []ir.Size {
	if b.Moved != nil {
		return b.Moved
	}
	return b.Shape
}

// smallest is how often blocks are halved before a kernel is found to have no room.
const smallest = 4

// Fit makes the programs of a kernel as a build has them: lowered, priced, simplified, and rewritten for the target; where
// tiles do not fit there, of smaller blocks. It returns the rules of the target that they break nevertheless. plan says
// how large sizes grow. A program that is not well formed is a *MalformedError.
func Fit(m *ir.Module, f *ir.Func, t targets.Target, plan ir.Memory) (*Lowered, []Violation, error) {
	blocks := scheduleFor(t)
	k, violations, err := finished(m, f, t, blocks, plan)
	for range smallest {
		if err != nil || !slices.ContainsFunc(violations, isTooLarge) {
			break
		}
		blocks = blocks.smaller()
		less, broken, failure := finished(m, f, t, blocks, plan)
		if failure != nil {
			break // of such small blocks this kernel cannot be made
		}
		k, violations = less, broken
	}
	return k, violations, err
}

// finished makes a kernel's programs of blocks as large as given.
func finished(m *ir.Module, f *ir.Func, t targets.Target, blocks schedule, plan ir.Memory) (*Lowered, []Violation, error) {
	k, err := lower(m, f, t, blocks, plan.Batch)
	if err != nil {
		return nil, nil, err
	}
	violations, err := k.finish(t, plan, blocks)
	return k, violations, err
}

func isTooLarge(v Violation) bool { return !v.Warning && (v.Rule == ruleOnChip || v.Rule == ruleCube) }

// lower makes the programs of a kernel of m for a target, of blocks as large as given, for batches of up to so many sequences. An op or a combination that no rule
// covers is an error.
func lower(m *ir.Module, k *ir.Func, t targets.Target, blocks schedule, batch int) (kernel *Lowered, err error) {
	defer func() {
		if r := recover(); r != nil {
			if missing, ok := r.(unsupported); ok {
				err = fmt.Errorf("kernel %s: %s", k.FullName(), string(missing))
				return
			}
			panic(r)
		}
	}()
	g := &gen{mod: m, fn: k, target: t, plan: blocks, batch: batch, bound: k.Mode.Bound(),
		kernel: &Lowered{Func: k, Bindings: map[string]Binding{}}, ropes: map[string]string{},
		stored: map[*ir.Value]bool{}, here: map[*ir.Value]*tile.Value{},
		arrived: map[*ir.Instr]bool{}, sums: map[*ir.Instr]bool{}, factors: map[*ir.Instr]bool{}, stage: map[*ir.Instr]int{},
		sorted: map[*ir.Value][]int{}, waits: map[*ir.Instr]bool{}, split: map[*ir.Instr]bool{}}
	g.phases()
	return g.kernel, nil
}

// unsupported is a panic that lower turns into an error.
type unsupported string

func (g *gen) fail(format string, args ...any) {
	panic(unsupported(fmt.Sprintf(format, args...)))
}

// gen lowers one kernel.
type gen struct {
	mod      *ir.Module
	fn       *ir.Func
	target   targets.Target
	plan     schedule
	batch    int // sequences of a call at most
	bound    ir.Env
	kernel   *Lowered
	names    map[*ir.Value]string
	taken    map[string]bool
	ropes    map[string]string  // table: what it holds
	stored   map[*ir.Value]bool // by an earlier program of the launch, or by other instances that have arrived
	siblings []*ir.Instr        // the anchors of the section at hand
	later    []sink             // of the next program
	// arrived are the ops whose parts other instances have left: of hc_pre and hc_head the products with the mixing matrix,
	// of attention the scores.
	arrived map[*ir.Instr]bool
	sums    map[*ir.Instr]bool  // the attention whose weighted sums other instances have left
	factors map[*ir.Instr]bool  // the attention whose factors an earlier program has left
	stage   map[*ir.Instr]int   // of a choice of entries, how many of its programs there are
	sorted  map[*ir.Value][]int // by which programs the slots of a list of chosen experts have been sorted
	waits   map[*ir.Instr]bool  // products with mixing matrices that wait until their streams are in memory
	split   map[*ir.Instr]bool  // products whose sums are split
	// here says for which rows of a result in memory the rank has computed anything; the others are 0.
	here map[*ir.Value]*tile.Value

	b      *tile.Builder
	scopes []map[any]any
}

// program builds one program whose instances are shared out among the sections of a phase.
func (g *gen) program(sections []*section) {
	name := Identifier(g.fn.FullName())
	if n := len(g.kernel.Programs); n > 0 {
		name += fmt.Sprintf("_%d", n+1)
	}
	g.b = tile.NewBuilder(name)
	g.scopes = []map[any]any{{}}
	p := g.b.Program
	p.Source = fmt.Sprintf("%s:%d", g.mod.Source, g.line())
	p.Launch = tile.Launch{Warps: 4, Stages: 1}
	var docs, counts []string
	for _, s := range sections {
		docs = append(docs, s.doc)
		counts = append(counts, "("+g.extent(s.countSize)+")")
		p.Launch.Warps = max(p.Launch.Warps, s.warps)
		p.Launch.Stages = max(p.Launch.Stages, s.stages)
		if s.capped {
			p.Launch.Registers = g.registers()
		}
	}
	p.Doc = strings.Join(docs, "\n")
	p.Grid = strings.Join(counts, " + ")
	pid := g.b.ProgramID().Named("pid")
	g.share(sections, pid)
	g.kernel.Programs = append(g.kernel.Programs, p)
}

// cappedWarps is how many warps a multiprocessor is meant to have at once of programs whose registers are capped.
const cappedWarps = 16

// registers is how many a thread has then, 0 where a launch cannot say so. To a compiler that is told it is also how many it may use:
// left alone, one took 76 for FP4 weights instead of 94 of 128, put every load off to where it is used, and 5.5 µs became 8.6.
func (g *gen) registers() int {
	all, _ := g.target.Launch.Registers.Get()
	width, _ := g.target.Warps.Width.Get()
	return all / (cappedWarps * max(width, 1))
}

// share gives each section its instances: the first so many to the first, the next to the second.
func (g *gen) share(sections []*section, pid *tile.Value) {
	s := sections[0]
	if len(sections) == 1 {
		g.scoped(func() { s.emit(pid) })
		return
	}
	n := g.size(s.countSize).Named("%s_programs", s.name)
	g.b.Note("%s", s.doc)
	g.when(g.b.Lt(pid, n), func() { s.emit(pid) }, func() {
		g.share(sections[1:], g.b.Sub(pid, n).Named("%s_id", sections[1].name))
	})
}

// line is the first line of the model that the kernel's ops come from.
func (g *gen) line() int {
	for _, in := range g.fn.Body {
		if in.Span.Line > 0 {
			return in.Span.Line
		}
	}
	return 0
}

// scoped runs f with a scope of its own for what has been computed.
func (g *gen) scoped(f func()) {
	g.scopes = append(g.scopes, map[any]any{})
	f()
	g.scopes = g.scopes[:len(g.scopes)-1]
}

// memo returns what was computed for key where it is still valid, or computes it.
func memo[T any](g *gen, key any, make func() T) T {
	if v, ok := recall[T](g, key); ok {
		return v
	}
	v := make()
	g.scopes[len(g.scopes)-1][key] = v
	return v
}

// recall returns what was computed for key, if it was and is still valid.
func recall[T any](g *gen, key any) (v T, ok bool) {
	for i := len(g.scopes) - 1; i >= 0; i-- {
		if v, ok := g.scopes[i][key]; ok {
			return v.(T), true
		}
	}
	return v, false
}

// known reports whether something was computed for key where it is still valid.
func (g *gen) known(key any) bool {
	_, ok := recall[any](g, key)
	return ok
}

// loop is Builder.Loop with a scope. Products are loops even if there is but one round: what a loop carries has one layout,
// and Triton then computes what leads to it once, not once for each layout that a sum behind it would like.
func (g *gen) loop(name string, from, to *tile.Value, step int, init []*tile.Value,
	body round) []*tile.Value {
	return g.b.Loop(name, from, to, step, init, g.inScope(body))
}

// round is what a loop does in each of its rounds.
type round = func(i *tile.Value, carried []*tile.Value) []*tile.Value

// inScope is a round whose values are forgotten behind it.
func (g *gen) inScope(body round) round {
	return func(i *tile.Value, c []*tile.Value) (out []*tile.Value) {
		g.scoped(func() { out = body(i, c) })
		return out
	}
}

// when is Builder.If with scopes.
func (g *gen) when(cond *tile.Value, then, otherwise func()) {
	var scopedElse func()
	if otherwise != nil {
		scopedElse = func() { g.scoped(otherwise) }
	}
	g.b.If(cond, func() { g.scoped(then) }, scopedElse)
}

// Identifier makes a name of the IR one of Python: dots and other marks become underscores.
func Identifier(name string) string {
	var out strings.Builder
	for i, r := range name {
		switch {
		case r == '_' || r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || i > 0 && r >= '0' && r <= '9':
			out.WriteRune(r)
		default:
			out.WriteByte('_')
		}
	}
	return out.String()
}
