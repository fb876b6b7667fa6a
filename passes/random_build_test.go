package passes_test

import (
	"fmt"
	"math/rand"
	"slices"
	"strings"

	"flagc/internal/diag"
	"flagc/ir"
	"flagc/ir/ops"
)

// grower builds one random module: parameter sets with several instances, functions over them in both modes, and
// entry functions that call them.
type grower struct {
	*rand.Rand
	m       *ir.Module
	even    bool // sizes divide among ranks, and few weights have blocks of rows
	chained bool // layers are short and add to streams that they hand on
	traces  int
	tensors int
}

// sizes are what the named sizes of a random module may be. Even ones divide among ranks; of the others some have no
// common factor with any number of ranks.
var sizes = []struct {
	name      string
	even, odd []int
}{
	{"D", []int{32, 64, 64, 128}, []int{32, 64, 96}}, {"F", []int{64, 64, 128, 256}, []int{8, 24, 32, 64, 96}},
	{"Q", []int{32, 64}, []int{12, 32, 64, 128}}, {"H", []int{8, 8, 16}, []int{2, 3, 4, 6, 8, 12, 16}},
	{"d", []int{8, 8, 16, 32}, []int{4, 8, 16, 32}}, {"R", []int{16, 32, 64}, []int{4, 6, 8, 32, 64}},
	{"I", []int{8, 16}, []int{1, 2, 3, 4, 6, 8, 16}}, {"c", []int{4, 8, 32}, []int{4, 8, 32}},
	{"V", []int{16, 48, 64}, []int{7, 12, 16, 48, 64}}, {"E", []int{8, 8, 16}, []int{2, 3, 4, 6, 8}},
	{"K", []int{1, 2, 3}, []int{1, 2, 3}}, {"W", []int{2, 3, 4, 8}, []int{2, 3, 4, 8}}, {"hc", []int{2, 4}, []int{1, 2, 3, 4}},
}

// grow makes the module of a seed.
func grow(seed int64) *ir.Module {
	g := &grower{Rand: rand.New(rand.NewSource(seed)), m: &ir.Module{Name: fmt.Sprintf("random%d", seed), Source: "random.flag"}}
	g.even = g.Intn(4) > 0
	if rand.New(rand.NewSource(seed^0x57)).Intn(4) == 0 { // of its own, so that graphs of other seeds are what they were
		g.chained, g.even = true, true
	}
	value := map[string]int{}
	for _, s := range sizes {
		list := s.odd
		if g.even {
			list = s.even
		}
		value[s.name] = oneOf(g, list...)
		g.m.Dims = append(g.m.Dims, ir.NamedSize{Name: s.name, Value: value[s.name]})
	}
	var groups []int
	for n := 1; n <= value["H"]; n++ {
		if value["H"]%n == 0 {
			groups = append(groups, n)
		}
	}
	heads, hc := oneOf(g, groups...), value["hc"]
	g.m.Dims = append(g.m.Dims, ir.NamedSize{Name: "G", Value: heads}, ir.NamedSize{Name: "P", Value: value["H"] / heads},
		ir.NamedSize{Name: "A", Value: 1 + g.Intn(min(3, value["E"]))}, ir.NamedSize{Name: "M", Value: (2 + hc) * hc})
	g.functions()
	return g.m
}

// functions grows the layers, then what calls them.
func (g *grower) functions() {
	layers := map[ir.Mode][]*ir.Func{}
	sets := g.Intn(3)
	if g.chained {
		sets = 1 + sets/2
	}
	for i := range sets {
		set := &ir.Params{Name: fmt.Sprintf("layer%d", i)}
		for j := range 1 + g.Intn(2) {
			set.Instances = append(set.Instances, fmt.Sprintf("layers%d.%d", i, j))
		}
		g.m.Params = append(g.m.Params, set)
		g.pair(set, set.Name, g.arguments(), nil, layers)
	}
	set := &ir.Params{Name: "main", Instances: []string{""}}
	g.m.Params = append(g.m.Params, set)
	if g.Intn(4) == 0 {
		g.pair(set, "tail", g.arguments(), nil, layers)
	}
	g.pair(set, "main", g.arguments(), layers, map[ir.Mode][]*ir.Func{})
	if g.Intn(4) == 0 {
		g.pair(set, "draft", g.arguments(), layers, map[ir.Mode][]*ir.Func{})
	}
}

// pair grows a function in both modes: the same body in both, as a model has it, or two that share weights alone.
func (g *grower) pair(set *ir.Params, name string, args []ir.Type, calls, into map[ir.Mode][]*ir.Func) {
	seed := g.Int63()
	for _, mode := range []ir.Mode{ir.Prefill, ir.Decode} {
		g.Rand = rand.New(rand.NewSource(seed))
		if f := g.function(set, name, mode, args, calls[mode]); f != nil {
			into[mode] = append(into[mode], f)
		}
		if g.Intn(2) == 0 {
			seed++
		}
	}
	g.Rand = rand.New(rand.NewSource(seed + 1))
}

// arguments draws the types of a function's parameters: ids, and one or more values.
func (g *grower) arguments() []ir.Type {
	x := ir.Type{Elem: ir.Plain(ir.BF16), Dims: g.axes("b", "s", "D")}
	args := []ir.Type{{Elem: ir.Plain(ir.I32), Dims: g.axes("b", "s")}, x}
	switch g.Intn(6) {
	case 0:
		args = append(args, ir.Type{Elem: ir.Plain(ir.BF16), Dims: g.axes("b", "s", "hc", "D")})
	case 1:
		args = append(args, ir.Type{Elem: ir.Plain(ir.F32), Dims: x.Dims})
	case 2:
		args = append(args, ir.Type{Elem: ir.Quantised(ir.FP8, 1, 32), Dims: x.Dims})
	}
	return args
}

// axis is the axis of that name or size expression.
func (g *grower) axis(text string) ir.Dim {
	size, err := ir.ParseSize(text, g.m.Names())
	if err != nil {
		panic(fmt.Sprintf("axis %s: %v", text, err))
	}
	return ir.Dim{Name: text, Size: size}
}

func (g *grower) axes(texts ...string) []ir.Dim {
	out := make([]ir.Dim, len(texts))
	for i, t := range texts {
		out[i] = g.axis(t)
	}
	return out
}

func oneOf[T any](g *grower, list ...T) T { return list[g.Intn(len(list))] }

// body is the state of growing one function. A nil value says that something could not be made; whoever gets one
// passes it on.
type body struct {
	*grower
	f      *ir.Func
	b      *ir.Builder
	pool   []*ir.Value
	short  map[*ir.Value]bool // floats of few bits: sums of their products are exact, whatever their order
	below  map[*ir.Value]int  // what every index of an integer value is below
	states map[*ir.State]*ir.Value
	used   []*ir.Value // weights
	count  int         // of weights and states
}

func (g *grower) function(set *ir.Params, name string, mode ir.Mode, args []ir.Type, calls []*ir.Func) *ir.Func {
	f := &ir.Func{Name: name, Mode: mode, Params: set, Doc: oneOf(g, "", "A random function."), Span: g.span()}
	for i, t := range args {
		f.Args = append(f.Args, &ir.Value{Kind: ir.ParamValue, Name: fmt.Sprintf("x%d", i), Type: t})
	}
	b := &body{grower: g, f: f, b: ir.NewBuilder(g.m, f), short: map[*ir.Value]bool{}, below: map[*ir.Value]int{},
		states: map[*ir.State]*ir.Value{}}
	for _, a := range f.Args {
		b.add(a)
		if a.Type.Elem.DType.IsInt() {
			b.below[a] = g.m.Names()["V"]
		}
	}
	for _, callee := range calls {
		b.some(g.Intn(3))
		b.calls(callee)
	}
	if g.chained && calls == nil {
		b.some(g.Intn(2))
		b.residual()
	} else {
		b.some(1 + g.Intn(7))
	}
	b.end()
	g.m.Funcs = append(g.m.Funcs, f)
	return f
}

func (g *grower) span() diag.Span {
	if g.Intn(2) == 0 {
		return diag.Span{}
	}
	return diag.Span{File: g.m.Source, Line: 1 + g.Intn(99)}
}

// some makes that many random moves.
func (b *body) some(n int) {
	total := 0
	for _, m := range moves {
		total += m.weight
	}
	for range n {
		at := b.Intn(total)
		for _, m := range moves {
			if at -= m.weight; at < 0 {
				m.make(b)
				break
			}
		}
	}
}

// add makes a value known to later moves.
func (b *body) add(v *ir.Value) {
	b.pool = append(b.pool, v)
	if e := v.Type.Elem; e.IsQuantised() || e.DType == ir.BF16 {
		b.short[v] = true
	}
}

// calls calls a layer at some of its instances, one behind the other.
func (b *body) calls(callee *ir.Func) {
	if callee.Params == b.f.Params && len(callee.Updates) > 0 {
		return // its states are the caller's
	}
	for _, instance := range callee.Params.Instances {
		if b.Intn(5) == 0 {
			continue
		}
		var args []*ir.Value
		for _, a := range callee.Args {
			v := b.pick(func(v *ir.Value) bool {
				return v.Type.Equal(a.Type) && (!a.Type.Elem.DType.IsInt() || b.below[v] == b.m.Names()["V"])
			})
			if v == nil {
				v = b.make(a.Type)
			}
			if v == nil {
				return
			}
			args = append(args, v)
		}
		in := b.b.Call(callee, args, instance, b.span())
		b.record(in)
	}
}

// make computes a value of a type that arguments have.
func (b *body) make(t ir.Type) *ir.Value {
	x := b.pick(func(v *ir.Value) bool {
		return v.Type.Elem == ir.Plain(ir.BF16) && slices.EqualFunc(v.Type.Dims, b.axes("b", "s", "D"), ir.Dim.Equal)
	})
	switch {
	case len(t.Dims) == 4:
		return b.op(ops.Repeat, ir.Attrs{{Name: "hc", Value: b.axis("hc")}}, x)
	case t.Elem.IsQuantised():
		return b.op(ops.ActQuant, ir.Attrs{{Name: "block", Value: t.Elem.Cols}}, x)
	}
	return b.op(ops.Cast, ir.Attrs{{Name: "dtype", Value: t.Elem.String()}}, x)
}

// pick chooses one of the values that fit, the latest more often.
func (b *body) pick(fits func(*ir.Value) bool) *ir.Value {
	var list []*ir.Value
	for _, v := range b.pool {
		if fits(v) {
			list = append(list, v)
		}
	}
	if len(list) == 0 {
		return nil
	}
	switch n := len(list); {
	case b.chained:
		list = list[n-1:]
	case b.Intn(2) == 0:
		list = list[n-min(n, 3):]
	}
	return list[b.Intn(len(list))]
}

// op appends an instruction and returns its first result.
func (b *body) op(op *ir.Op, attrs ir.Attrs, args ...*ir.Value) *ir.Value {
	return first(b.results(op, attrs, nil, args...))
}

func first(list []*ir.Value) *ir.Value {
	if len(list) == 0 {
		return nil
	}
	return list[0]
}

// results appends an instruction and returns all its results; none where an operand is missing or does not fit.
func (b *body) results(op *ir.Op, attrs ir.Attrs, want *ir.Type, args ...*ir.Value) []*ir.Value {
	if slices.Contains(args, nil) {
		return nil
	}
	n := len(b.f.Body)
	in, err := b.b.Op(op, args, attrs, want, b.span())
	if err != nil {
		return nil
	}
	if len(b.f.Body) > n {
		b.record(in)
		if exact := op == ops.Cast || op == ops.Scale && in.Attrs.Float("factor") == 0.5; exact && b.short[args[0]] {
			b.short[in.Results[0]] = true
		}
	}
	return in.Results
}

// record makes an instruction's results known, and traces some.
func (b *body) record(in *ir.Instr) {
	for i, r := range in.Results {
		if in.Op != nil {
			if _, state := in.Op.Updates[i]; state {
				continue // a later update consumes it
			}
		}
		b.add(r)
	}
	if b.Intn(8) == 0 && len(in.Results) > 0 {
		b.traces++
		in.Trace = fmt.Sprintf("t%d", b.traces)
	}
}

// weight is a weight of the function's parameter set: a new one, one that the function uses already, or the one that
// the function has in the other mode.
func (b *body) weight(elem ir.Elem, dims ...ir.Dim) *ir.Value {
	return b.tensor("t%d", elem, dims...)
}

func (b *body) tensor(format string, elem ir.Elem, dims ...ir.Dim) *ir.Value {
	if k, _ := dims[len(dims)-1].Size.IsConst(); elem == fp4 && k%32 != 0 {
		elem = bf16
	}
	t := ir.Type{Elem: elem, Dims: dims}
	for _, w := range b.used {
		if w.Type.Equal(t) && b.Intn(6) == 0 {
			return w
		}
	}
	b.count++
	name := fmt.Sprintf("w%d", b.count)
	for w := b.f.Params.Weight(name); w != nil; w = b.f.Params.Weight(name) {
		if w.Value.Type.Equal(t) && w.IsMany() == strings.Contains(format, "*") {
			b.used = append(b.used, w.Value)
			return w.Value
		}
		name += "x"
	}
	b.tensors++
	v := &ir.Value{Kind: ir.WeightValue, Name: name, Type: t, Span: b.span()}
	b.f.Params.Weights = append(b.f.Params.Weights, &ir.Weight{Value: v, Tensor: fmt.Sprintf(format, b.tensors)})
	b.used = append(b.used, v)
	return v
}

// state is a state of the function's parameter set, as it is now.
func (b *body) state(elem ir.Elem, init float64, dims ...ir.Dim) *ir.State {
	t := ir.Type{Elem: elem, Dims: dims}
	b.count++
	name := fmt.Sprintf("s%d", b.count)
	for s := b.f.Params.State(name); s != nil; s = b.f.Params.State(name) {
		if s.Value.Type.Equal(t) && s.Init == init {
			return s
		}
		name += "x"
	}
	s := &ir.State{Value: &ir.Value{Kind: ir.StateValue, Name: name, Type: t}, Init: init}
	b.f.Params.States = append(b.f.Params.States, s)
	return s
}

// now is what a state is at this point of the function.
func (b *body) now(s *ir.State) *ir.Value {
	if v := b.states[s]; v != nil {
		return v
	}
	return s.Value
}

// update notes a state's new value and returns it.
func (b *body) update(s *ir.State, v *ir.Value) *ir.Value {
	if v != nil {
		b.states[s] = v
	}
	return v
}

// end chooses what the function returns.
func (b *body) end() {
	for _, s := range b.f.Params.States {
		if v := b.states[s]; v != nil {
			b.f.Updates = append(b.f.Updates, ir.Update{State: s, Value: v})
			if b.Intn(8) == 0 {
				b.f.Return = append(b.f.Return, v)
			}
		}
	}
	n := 1 + b.Intn(3)
	if b.chained && len(b.f.Return) > 0 && b.Intn(4) > 0 {
		n = 0
	}
	for ; n > 0 || len(b.f.Return) == 0 && b.Intn(8) > 0; n-- {
		if v := b.pick(func(*ir.Value) bool { return true }); v.Kind == ir.ResultValue || b.Intn(4) == 0 {
			b.f.Return = append(b.f.Return, v)
		}
	}
	for _, v := range b.f.Return {
		b.f.Results = append(b.f.Results, v.Type)
	}
}
