package gohost

import (
	"fmt"

	"github.com/dave/jennifer/jen"

	"flagc/ir"
	"flagc/ir/ops"
)

// variable is a slice of the generated function: it holds one value after the other.
type variable struct {
	repr    repr
	base    string // dotted name, "" while nobody has named it
	hint    string // name if nobody does
	size    expr   // the number of elements
	sizeKey string // size as text, to find equal ones
	types   []string
	lastUse int
	param   string // dotted path if it is a parameter or a state
	slot    int
	bytes   int    // at a typical call, to match slots
	name    string // Go name of the field, once all are known
	field   bool
}

// plan assigns variables to the values of a function.
type plan struct {
	g    *generator
	f    *ir.Func
	of   map[*ir.Value]*variable
	root map[*ir.Value]*ir.Value // the value whose elements a view shares
	last map[*ir.Value]int       // index of the last instruction that reads a root
	vars []*variable             // fields of the temporaries, in order of appearance
	// free slots of each kind, and how large each slot is at a typical call.
	free  [3][]int
	slots [3][]int
	// params in order: results, then arguments
	results, args []*variable
	copies        map[int]*ir.Value  // results that are not computed in place
	rounded       map[*ir.Value]bool // float32 results that only a cast to bf16 reads: their kernel rounds
}

const afterAll = 1 << 30

func newPlan(g *generator, f *ir.Func) (*plan, error) {
	p := &plan{g: g, f: f, of: map[*ir.Value]*variable{}, root: map[*ir.Value]*ir.Value{},
		last: map[*ir.Value]int{}, copies: map[int]*ir.Value{}, rounded: map[*ir.Value]bool{}}
	p.absorbCasts()
	p.findRoots()
	p.findLastUses()
	p.parameters()
	for i, in := range f.Body {
		for j, r := range in.Results {
			if p.root[r] == r && p.of[r] == nil {
				if err := p.place(i, in, j); err != nil {
					return nil, err
				}
			}
		}
		p.release(i)
	}
	p.assignNames()
	return p, nil
}

// absorbCasts finds the float32 results whose only reader is a cast to bf16.
func (p *plan) absorbCasts() {
	uses := map[*ir.Value]int{}
	for _, in := range p.f.Body {
		for _, a := range in.Args {
			uses[a]++
		}
	}
	for _, v := range p.f.Return {
		uses[v]++
	}
	for _, in := range p.f.Body {
		if in.Op != ops.Cast || in.Results[0].Type.Elem != ir.Plain(ir.BF16) {
			continue
		}
		v := in.Args[0]
		if uses[v] == 1 && v.Def != nil && v.Def.Trace == "" && rules[v.Def.Op] != nil && rules[v.Def.Op].canRound {
			p.rounded[v] = true
		}
	}
}

// findRoots follows views and state updates to the value that owns the elements.
func (p *plan) findRoots() {
	owner := func(v *ir.Value) *ir.Value {
		if r := p.root[v]; r != nil {
			return r
		}
		return v
	}
	for _, a := range p.f.Args {
		p.root[a] = a
	}
	for _, s := range p.f.Params.States {
		p.root[s.Value] = s.Value
	}
	for _, in := range p.f.Body {
		for j, r := range in.Results {
			p.root[r] = r
			if in.Op == nil {
				continue
			}
			if operand, ok := in.Op.Updates[j]; ok {
				p.root[r] = owner(in.Args[operand])
			} else if rule := rules[in.Op]; rule != nil && rule.alias != nil && rule.alias(p, in) {
				p.root[r] = owner(in.Args[0])
			}
		}
	}
}

func (p *plan) findLastUses() {
	for i, in := range p.f.Body {
		for _, r := range in.Results {
			if p.root[r] == r {
				p.last[r] = i
			}
		}
		for _, a := range in.Args {
			if a != nil && p.root[a] != nil {
				p.last[p.root[a]] = i
			}
		}
	}
	for _, r := range p.f.Return {
		p.last[p.root[r]] = afterAll
	}
}

// parameters makes variables of arguments, states and results. A result is written straight to the slice that
// the caller passes, unless it is another value's view, an argument or a state.
func (p *plan) parameters() {
	names := p.g.locals()
	for _, a := range p.f.Args {
		v := p.variable(a)
		v.param = names.name(camel(base(a.Name), false))
		p.args = append(p.args, v)
		p.of[a] = v
	}
	for _, s := range p.f.Params.States {
		v := p.variable(s.Value)
		v.param = "l.state." + p.g.sets[p.f.Params].states[s.Value.Name]
		p.of[s.Value] = v
	}
	for _, w := range p.f.Params.Weights {
		v := p.variable(w.Value) // for views of it
		v.param = "l." + p.g.sets[p.f.Params].paths[w.Value.Name]
		p.of[w.Value] = v
	}
	for i, r := range p.f.Return {
		owner := p.root[r]
		v := p.variable(r)
		v.param = "out"
		for _, n := range []*ir.Value{r, owner} {
			if named(n) && n.Kind == ir.ResultValue {
				v.param = camel(last(base(n.Name)), false)
			}
		}
		v.param = names.name(v.param)
		p.results = append(p.results, v)
		if owner.Kind != ir.ResultValue || p.of[owner] != nil {
			p.copies[i] = r
			continue
		}
		p.of[owner] = v
	}
}

func last(path string) string { return endingsOf(path)[0] }

// variable makes a variable for a value, without a place.
func (p *plan) variable(v *ir.Value) *variable {
	env := p.g.typical(p.f.Mode)
	bytes := 4
	for _, d := range v.Type.Dims {
		n, err := d.Size.Eval(env)
		if err != nil {
			n = 1
		}
		bytes *= max(n, 1)
	}
	size := p.g.sizes.product(v.Type.Dims)
	x := &variable{repr: reprOf(v), size: size, sizeKey: size.code.GoString(), bytes: bytes}
	if x.repr == floats && p.g.unrounded(v) {
		x.repr = doubles
	}
	x.types = []string{p.g.m.PrintType(v.Type)}
	x.base = p.baseOf(v)
	if x.repr == doubles {
		x.bytes = 8 * (bytes / 4)
	}
	return x
}

// baseOf is the name of a value, "" if nobody named it. A part of a sum leaves its name to the sum.
func (p *plan) baseOf(v *ir.Value) string {
	from := v
	if !named(v) && v.Def.Op != nil && v.Def.Op.Class == ir.Collective {
		from = v.Def.Args[0]
	}
	switch {
	case !named(from):
		return ""
	case from == v && v.Type.Partial == ir.PartialSum:
		return base(v.Name) + "_part"
	}
	return base(from.Name)
}

// named reports whether a person named the value: otherwise it is called like its op, its callee or a weight.
func named(v *ir.Value) bool {
	if v.Def == nil {
		return true
	}
	if v.Def.Op == nil {
		return base(v.Name) != v.Def.Callee.Name
	}
	if len(v.Def.Results) > 1 {
		return true // each has its name in the op's signature
	}
	for _, a := range v.Def.Args {
		if a != nil && a.Kind == ir.WeightValue && a.Name == base(v.Name) {
			return false
		}
	}
	return base(v.Name) != v.Def.Op.Name
}

// place finds a variable for result j of instruction i: the operand's that it may overwrite, an earlier one of
// the same name that nothing reads any more, or a new one.
func (p *plan) place(i int, in *ir.Instr, j int) error {
	r := in.Results[j]
	want := p.variable(r)
	want.lastUse = p.last[r]
	if v := p.inPlace(i, in, j, want); v != nil {
		p.join(v, r, want)
		return nil
	}
	if want.base != "" {
		for _, v := range p.vars {
			if v.base == want.base && v.sizeKey == want.sizeKey && v.repr == want.repr && v.lastUse < i {
				if p.reclaim(v) {
					p.join(v, r, want)
					return nil
				}
			}
		}
	}
	if want.base == "" {
		want.hint = p.hint(in)
	}
	want.slot = p.takeSlot(want)
	want.field = true
	p.vars = append(p.vars, want)
	p.of[r] = want
	return nil
}

// inPlace returns the variable of an operand that dies here and that the kernel may overwrite.
func (p *plan) inPlace(i int, in *ir.Instr, j int, want *variable) *variable {
	if in.Op == nil || j > 0 || rules[in.Op] == nil {
		return nil
	}
	for _, k := range rules[in.Op].over {
		if in.Args[k].Kind == ir.WeightValue {
			continue
		}
		v := p.of[p.root[in.Args[k]]]
		if v == nil || !v.field || v.lastUse != i || v.sizeKey != want.sizeKey || v.repr != want.repr {
			continue
		}
		if want.base == "" || v.base == "" || want.base == v.base {
			return v
		}
	}
	return nil
}

// join lets value r live in variable v.
func (p *plan) join(v *variable, r *ir.Value, want *variable) {
	if v.base == "" {
		v.base = want.base
	}
	v.lastUse = want.lastUse
	if t := want.types[0]; v.types[len(v.types)-1] != t {
		v.types = append(v.types, t)
	}
	p.of[r] = v
}

// takeSlot takes the free slot that fits best at a typical call, or a new one.
func (p *plan) takeSlot(v *variable) int {
	free := p.free[v.repr]
	best := -1
	for i, s := range free {
		if best < 0 || better(p.slots[v.repr][s], p.slots[v.repr][free[best]], v.bytes) {
			best = i
		}
	}
	if best < 0 {
		p.slots[v.repr] = append(p.slots[v.repr], v.bytes)
		return len(p.slots[v.repr]) - 1
	}
	slot := free[best]
	p.free[v.repr] = append(free[:best:best], free[best+1:]...)
	p.slots[v.repr][slot] = max(p.slots[v.repr][slot], v.bytes)
	return slot
}

// better prefers the smallest slot that is large enough, then the largest.
func better(a, b, need int) bool {
	if (a >= need) != (b >= need) {
		return a >= need
	}
	if a >= need {
		return a < b
	}
	return a > b
}

// reclaim takes a dead variable's slot back if no other variable got it.
func (p *plan) reclaim(v *variable) bool {
	for i, s := range p.free[v.repr] {
		if s == v.slot {
			p.free[v.repr] = append(p.free[v.repr][:i:i], p.free[v.repr][i+1:]...)
			return true
		}
	}
	return false
}

// release frees the slots of variables whose last use was instruction i.
func (p *plan) release(i int) {
	for _, v := range p.vars {
		if v.lastUse == i {
			p.free[v.repr] = append(p.free[v.repr], v.slot)
		}
	}
}

// hint names a value after what it was computed from, when nobody named it.
func (p *plan) hint(in *ir.Instr) string {
	if in.Op == nil {
		return in.Callee.Name
	}
	if in.Op.Class == ir.Collective && in.Args[0].Def != nil {
		return p.hint(in.Args[0].Def) + "_met"
	}
	for _, a := range in.Args {
		if a != nil && a.Kind == ir.WeightValue {
			return a.Name
		}
	}
	if rule := rules[in.Op]; rule != nil && rule.suffix != "" {
		from := p.root[in.Args[0]]
		switch {
		case from == nil || !named(from):
		case from.Def != nil && from.Def.Trace != "" && from.Def.Results[0] == from:
			return from.Def.Trace + "_" + rule.suffix
		default:
			return base(from.Name) + "_" + rule.suffix
		}
	}
	return in.Op.Name
}

// assignNames names the fields after their values, as shortly as is clear.
func (p *plan) assignNames() {
	var paths []string
	for _, v := range p.vars {
		if v.base == "" {
			v.base = v.hint
		}
		paths = append(paths, v.base)
	}
	short := shorten(paths)
	names := newScope()
	for _, v := range p.vars {
		v.name = names.name(camel(short[v.base], false))
	}
}

// code is the Go expression of the variable.
func (v *variable) code() *jen.Statement {
	if v.param != "" {
		return selector(v.param)
	}
	return selector("t." + v.name)
}

// value returns the variable that holds v's elements.
func (p *plan) value(v *ir.Value) (*variable, error) {
	x := p.of[p.root[v]]
	if x == nil {
		return nil, fmt.Errorf("BUG: %s: %s has no place", p.f.FullName(), v.Ref())
	}
	return x, nil
}
