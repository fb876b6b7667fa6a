package passes

import (
	"fmt"
	"slices"
	"strings"

	"flagc/internal/diag"
	"flagc/ir"
)

// kernel is one launch in the making.
type kernel struct {
	o        *outliner
	f        *ir.Func
	now      map[*ir.Value]*ir.Value // values of the function to those of the kernel
	used     map[string]bool         // names
	operands []*ir.Value             // of the launch
	yields   []*ir.Value             // the function's values that the launch yields
	span     diag.Span
}

// outline copies the instructions. What they read from elsewhere becomes arguments, what is read elsewhere results.
func (k *kernel) outline(body []*ir.Instr) {
	own := map[*ir.Instr]bool{}
	for _, in := range body {
		own[in] = true
		for _, r := range in.Results {
			k.used["%"+r.Name] = true
		}
	}
	for _, in := range body {
		c := &ir.Instr{Op: in.Op, Attrs: in.Attrs, Span: in.Span}
		for _, a := range in.Args {
			c.Args = append(c.Args, k.operand(a))
		}
		for _, r := range in.Results {
			v := &ir.Value{Kind: ir.ResultValue, Name: r.Name, Type: r.Type, Def: c, Span: r.Span}
			k.now[r] = v
			c.Results = append(c.Results, v)
		}
		k.f.Body = append(k.f.Body, c)
		if k.o.s.last[in] {
			k.f.Tail = append(k.f.Tail, c)
		}
	}
	for _, in := range body {
		k.results(in, own)
	}
	k.f.Anchors = k.anchors()
	k.span = k.f.Anchors[0].Span
}

// operand is a value inside the kernel: one of its own, or an argument.
func (k *kernel) operand(a *ir.Value) *ir.Value {
	if a == nil || k.now[a] != nil {
		return k.now[a]
	}
	v := &ir.Value{Kind: ir.ParamValue, Type: a.Type, Span: a.Span}
	switch {
	case a.Kind == ir.WeightValue:
		v.Kind = ir.WeightValue
	case a.IsState():
		v.Kind = ir.StateValue
	}
	v.Name = k.unique(a.Name, v.Kind.Sigil())
	k.now[a] = v
	k.f.Args = append(k.f.Args, v)
	k.operands = append(k.operands, a)
	return v
}

// unique finds a name for an argument: the shortest end of its name in the function that is free.
func (k *kernel) unique(name, sigil string) string {
	for words := 1; words <= 1+strings.Count(name, "."); words++ {
		if s := short(name, words); !k.used[sigil+s] {
			k.used[sigil+s] = true
			return s
		}
	}
	for i := 1; ; i++ {
		if s := fmt.Sprintf("%s.%d", short(name, 1), i); !k.used[sigil+s] {
			k.used[sigil+s] = true
			return s
		}
	}
}

// results notes what of an instruction is needed outside: read, recorded, or kept as the function's. An instruction
// that nothing needs yields its first result, so that a launch has one.
func (k *kernel) results(in *ir.Instr, own map[*ir.Instr]bool) {
	s, read := k.o.s, false
	for i, r := range in.Results {
		needed := s.kept[r] || slices.ContainsFunc(in.Traced(), func(t ir.Trace) bool { return t.Result == i })
		for _, j := range s.users[r] {
			read = true
			needed = needed || !own[s.body[j]]
		}
		if needed {
			k.yield(r)
			read = true
		}
	}
	if !read {
		k.yield(in.Results[0])
	}
}

func (k *kernel) yield(r *ir.Value) {
	k.yields = append(k.yields, r)
	k.f.Results = append(k.f.Results, r.Type)
	k.f.Return = append(k.f.Return, k.now[r])
}

// anchors are the products, or what is heaviest where there is none: what reads rows or updates states.
func (k *kernel) anchors() []*ir.Instr {
	for _, is := range []func(*ir.Instr) bool{
		isAnchor,
		func(in *ir.Instr) bool { return !elementwise(in) },
		func(in *ir.Instr) bool { return !isView(in) },
	} {
		var list []*ir.Instr
		for _, in := range k.f.Body {
			if is(in) {
				list = append(list, in)
			}
		}
		if list != nil {
			return list
		}
	}
	return k.f.Body
}

// key is the kernel's text with numbers for names, lines included: what it stands for in two layers is the same.
func (k *kernel) key() string {
	var b strings.Builder
	number := map[*ir.Value]int{}
	show := func(v *ir.Value) {
		if v == nil {
			b.WriteString("_,")
			return
		}
		if _, ok := number[v]; !ok {
			number[v] = len(number)
		}
		fmt.Fprintf(&b, "%d,", number[v])
	}
	b.WriteString(string(k.f.Mode))
	for _, a := range k.f.Args {
		b.WriteString(a.Kind.Sigil() + a.Type.Describe())
		show(a)
	}
	for _, in := range k.f.Body {
		fmt.Fprintf(&b, "\n%s @%d tail=%v ", in.Op.Name, in.Span.Line, slices.Contains(k.f.Tail, in))
		for _, a := range in.Args {
			show(a)
		}
		for _, a := range in.Attrs {
			fmt.Fprintf(&b, " %s=%v", a.Name, attrText(a.Value))
		}
		for _, r := range in.Results {
			b.WriteString(" " + r.Type.Describe())
			show(r)
		}
	}
	b.WriteString("\n")
	for _, r := range k.f.Return {
		show(r)
	}
	return b.String()
}

// attrText is an attribute's value with the size of a named one.
func attrText(v any) string {
	if d, ok := v.(ir.Dim); ok {
		return d.Name + "=" + d.Size.String()
	}
	return fmt.Sprint(v)
}

// words are names for the kernel, best first: its anchors' weights, then those of everything in it, by the model's
// words. The first group of weights is named in full ("experts_w1_w3"), others by where they belong ("_compressor").
func (k *kernel) words(body []*ir.Instr) []string {
	anchors := map[int]bool{}
	for i, in := range k.f.Body {
		anchors[i] = slices.Contains(k.f.Anchors, in)
	}
	matrices := isAnchor(k.f.Anchors[0])
	var own, all []*ir.Value
	for i, in := range body {
		for _, a := range in.Args {
			if a == nil || a.Kind != ir.WeightValue {
				continue
			}
			if anchors[i] && (!matrices || len(a.Type.Dims) > 1) {
				own = append(own, a)
			}
			all = append(all, a)
		}
	}
	if own == nil {
		return []string{k.f.Anchors[0].Op.Name}
	}
	return []string{k.grouped(own, own), k.grouped(own, all)}
}

// grouped names a list of weights by their paths, then the places of others.
func (k *kernel) grouped(list, others []*ir.Value) string {
	var words []string
	first := parent(list[0].Name)
	add := func(w string) {
		if w != "" && !slices.Contains(words, w) {
			words = append(words, w)
		}
	}
	if k.shared(list[0]) {
		add(short(first, 1))
	}
	for _, w := range list {
		if parent(w.Name) == first {
			add(short(w.Name, 1))
		}
	}
	for _, w := range others {
		if p := parent(w.Name); p != first && p != "" {
			add(short(p, 1))
		}
	}
	return strings.Join(words, "_")
}

func parent(name string) string {
	cut := strings.LastIndexByte(name, '.')
	return name[:max(cut, 0)]
}

// shared reports whether another weight that stands no deeper in the model ends in the same word.
func (k *kernel) shared(v *ir.Value) bool {
	for _, w := range k.o.s.f.Params.Weights {
		if w.Value != v && short(w.Value.Name, 1) == short(v.Name, 1) &&
			strings.Count(w.Value.Name, ".") <= strings.Count(v.Name, ".") {
			return true
		}
	}
	return false
}
