package passes

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	"flagc/ir"
	"flagc/targets"
)

// carryTails moves the last launch of a decoding function into the first of the function that reads its result. Such a
// tail stands alone only because the function ends there: fuse joins ops within functions. A function whose last launch
// computes nothing but a result yields the tail's operands in the result's place, and the function that takes the
// result computes the tail before all else. Where the result is read otherwise the caller computes the tail.
//
// An argument may be such a result in one call and not in another, as the streams of the first layer are: a function has
// a version for each. Values that are recorded are yielded by whoever computes them and recorded under the same names by
// the caller.
//
// It is done where fewer launches come of it. In prefill a launch costs little beside its work, and what a tail reads
// would take room for all tokens.
func carryTails(m *ir.Module, opts Options) error {
	if len(m.Kernels) > 0 {
		return nil
	}
	for { // a function has another tail where a result behind the first ends in one
		c := &carrier{m: m, target: opts.Target, tails: map[*ir.Func]*tail{},
			launches: map[*ir.Func]int{}}
		c.findTails()
		for c.rewrite(); c.drop(); {
			c.rewrite()
		}
		if len(c.tails) == 0 || !c.saves() {
			return nil
		}
		c.write()
	}
}

// drop forgets the tails that no function would take, and reports whether there were any.
func (c *carrier) drop() bool {
	before := len(c.tails)
	maps.DeleteFunc(c.tails, func(_ *ir.Func, t *tail) bool { return !c.taken[t] })
	return len(c.tails) < before
}

// tail is what ends a function: the ops of its last launch, which read neither weights nor states.
type tail struct {
	f        *ir.Func
	result   int // of f
	body     []*ir.Instr
	operands []*ir.Value // that the body reads: f's parameters, and what f yields instead of the result
	key      string      // equal for tails that compute the same from operands of the same types
}

// carrier finds tails and rewrites functions beside the module, which changes in the end or not at all.
type carrier struct {
	m        *ir.Module
	target   targets.Target
	tails    map[*ir.Func]*tail
	launches map[*ir.Func]int // of each function itself

	// What the current tails lead to.
	versions []*version
	callers  map[*ir.Func]*ir.Func // rewritten
	taken    map[*tail]bool        // tails that a function computes for another
}

// version is a function as some of its callers need it.
type version struct {
	of    *ir.Func
	takes *tail // what argument arg was the result of; nil if no argument is replaced
	arg   int
	f     *ir.Func
	calls int
}

// calls reports whether a function calls others.
func calls(f *ir.Func) bool {
	return slices.ContainsFunc(f.Body, func(in *ir.Instr) bool { return in.Callee != nil })
}

// findTails looks at functions that others call and that call none.
func (c *carrier) findTails() {
	called := c.m.Called()
	for _, f := range c.m.Funcs {
		if f.Mode != ir.Decode || !called[f] || calls(f) {
			continue
		}
		for i, v := range f.Return {
			if !mayEnd(f, v) {
				continue
			}
			if t := findTail(c.plan(f), i); t != nil {
				c.tails[f] = t
				break
			}
		}
	}
}

// mayEnd reports whether a result could be a tail's, before launches are planned, which takes longer: nothing in the
// function reads it, and its op reads neither weights nor states.
func mayEnd(f *ir.Func, v *ir.Value) bool {
	end := v.Def
	if end == nil || isBarrier(end) || len(end.Results) > 1 || returns(f, v) > 1 {
		return false
	}
	if slices.ContainsFunc(end.Args, func(a *ir.Value) bool { return a != nil && (a.Kind == ir.WeightValue || a.Root().IsState()) }) {
		return false
	}
	return !slices.ContainsFunc(f.Body, func(in *ir.Instr) bool { return slices.Contains(in.Args, v) })
}

func (c *carrier) plan(f *ir.Func) *schedule {
	s := newSchedule(f, c.target)
	s.plan()
	c.launches[f] = s.launches()
	return s
}

// launchesOf is what a function launches itself.
func (c *carrier) launchesOf(f *ir.Func) int {
	if _, ok := c.launches[f]; !ok {
		c.plan(f)
	}
	return c.launches[f]
}

// findTail returns the tail that ends in result i, which may end one. It is nil if the launch that yields the result
// computes more than that, if something else reads what it computes, or if an operand cannot be yielded.
func findTail(s *schedule, i int) *tail {
	end := s.f.Return[i].Def
	level := s.level[s.index[end]]
	t := &tail{f: s.f, result: i}
	within := map[*ir.Instr]bool{}
	for k := len(s.body) - 1; k >= 0; k-- {
		in := s.body[k]
		switch at := s.level[k] == level && !isBarrier(in); {
		case in == end || (at || isView(in)) && s.onlyRead(in, within):
			within[in] = true
			t.body = append(t.body, in)
		case at && !isView(in):
			return nil
		}
	}
	slices.Reverse(t.body)
	for _, in := range t.body {
		for _, a := range in.Args {
			switch {
			case a == nil || within[a.Def]:
			case !t.reachable(s, a):
				return nil
			case !slices.Contains(t.operands, a):
				t.operands = append(t.operands, a)
			}
		}
	}
	t.key = t.text()
	return t
}

// reachable reports whether callers have a value or can be given it.
func (t *tail) reachable(s *schedule, v *ir.Value) bool {
	if v.Kind == ir.ParamValue {
		return true
	}
	return v.Kind == ir.ResultValue && !v.Root().IsState() && v.Type.Partial == ir.NotPartial && !s.kept[v]
}

// onlyRead reports whether the results of an instruction are read by some others and nothing else.
func (s *schedule) onlyRead(in *ir.Instr, by map[*ir.Instr]bool) bool {
	if in.Op.Updates != nil {
		return false
	}
	read := false
	for _, r := range in.Results {
		if s.kept[r] || slices.ContainsFunc(s.users[r], func(j int) bool { return !by[s.body[j]] }) {
			return false
		}
		read = read || len(s.users[r]) > 0
	}
	return read
}

// returns is how often a function yields a value.
func returns(f *ir.Func, v *ir.Value) int {
	n := 0
	for _, r := range f.Return {
		if r == v {
			n++
		}
	}
	return n
}

// text is the tail with numbers for names.
func (t *tail) text() string {
	var b strings.Builder
	number := map[*ir.Value]int{}
	for _, v := range t.operands {
		number[v] = len(number)
		fmt.Fprintf(&b, "%s,", v.Type.Describe())
	}
	for _, in := range t.body {
		fmt.Fprintf(&b, "\n%s @%d", in.Op.Name, in.Span.Line)
		for _, a := range in.Args {
			if a == nil {
				b.WriteString(" _")
			} else {
				fmt.Fprintf(&b, " %d", number[a])
			}
		}
		for _, a := range in.Attrs {
			fmt.Fprintf(&b, " %s=%v", a.Name, attrText(a.Value))
		}
		for _, r := range in.Results {
			number[r] = len(number)
			b.WriteString(" " + r.Type.Describe())
		}
		fmt.Fprintf(&b, " %v", in.Traced())
	}
	return b.String()
}

// recorded are the values in the tail, but for its result, that have a name in traces.
func (t *tail) recorded() (values []*ir.Value, names []string) {
	for _, in := range t.body {
		for _, r := range in.Traced() {
			values, names = append(values, in.Results[r.Result]), append(names, r.Name)
		}
	}
	return values, names
}

// saves reports whether the rewritten functions launch less than the module's, no entry more.
func (c *carrier) saves() bool {
	fewer := false
	for _, f := range c.m.Funcs {
		if !f.Params.HasInstance("") || f.Mode != ir.Decode {
			continue
		}
		before, after := c.total(f, false), c.total(f, true)
		if after > before {
			return false
		}
		fewer = fewer || after < before
	}
	return fewer
}

// total is what a function launches with all that it calls, as it is or rewritten.
func (c *carrier) total(f *ir.Func, rewritten bool) int {
	if n := c.callers[f]; n != nil && rewritten {
		f = n
	}
	sum := c.launchesOf(f)
	for _, in := range f.Body {
		if in.Callee != nil {
			sum += c.total(in.Callee, rewritten)
		}
	}
	return sum
}

// write puts the rewritten functions into the module, each version where its function was. The version that most calls
// want keeps the name, of two the one that takes more.
func (c *carrier) write() {
	var funcs []*ir.Func
	for _, f := range c.m.Funcs {
		if n := c.callers[f]; n != nil {
			f.Body, f.Return, f.Updates = n.Body, n.Return, n.Updates
		}
		var own []*version
		for _, v := range c.versions {
			if v.of == f && v.calls > 0 {
				own = append(own, v)
			}
		}
		if own == nil {
			funcs = append(funcs, f)
			continue
		}
		slices.SortStableFunc(own, func(a, b *version) int {
			return cmp.Or(b.calls-a.calls, len(b.f.Args)-len(a.f.Args))
		})
		for i, v := range own {
			if i > 0 {
				v.f.Name = c.unusedName(v, funcs)
			}
			funcs = append(funcs, v.f)
		}
	}
	c.m.Funcs = funcs
}

// unusedName names a version beside the one that has its function's name.
func (c *carrier) unusedName(v *version, funcs []*ir.Func) string {
	name := v.of.Name + "_first" // its argument comes from nobody who yields tails
	if v.takes != nil {
		name = v.of.Name + "_after"
	}
	unique := name
	taken := func(f *ir.Func) bool { return f.Name == unique }
	for i := 2; slices.ContainsFunc(c.m.Funcs, taken) || slices.ContainsFunc(funcs, taken); i++ {
		unique = fmt.Sprintf("%s_%d", name, i)
	}
	return unique
}
