package triton

import (
	"fmt"
	"slices"
	"strings"

	"flagc/ir"
	"flagc/ir/ops"
	"flagc/ir/tile"
)

// price says what one launch of a program moves at least and computes, as expressions over the size symbols: every
// operand once, of what ids or lists name as many rows as they can name, of a cache what has been written. Where
// ranks have parts of a table, a rank counts its share of the names.
func (k *Lowered) price(p *tile.Program) {
	bytes, flops := k.moved(p), sum{}
	for _, in := range k.Func.Body {
		if k.in(in, p) {
			if n, err := in.FlopSize(); err == nil {
				flops.add(k.local(in, n))
			}
		}
	}
	known := map[string]bool{}
	for _, q := range p.Params {
		known[q.Name] = !q.Pointer
	}
	p.Bytes, p.Flops = bytes.text(known), flops.text(known)
}

// streamBytes is what a launch moves for one token from which on the next must not begin early: its instances would wait in
// places that this one's need. On an H100, launches of up to 12.7 MB that waited early saved half a microsecond to two and a half each;
// from 14.7 MB on they cost up to two.
const streamBytes = 13 << 20

// chosenBytes is that bound where weights are chosen by what the launch before has left: nothing of them is on its way while
// instances wait. With weights in the L2 cache, programs of 9 MB gained up to a microsecond by beginning early, of 9.5 MB they lost one.
const chosenBytes = 9 << 20

// oneToken are the sizes of a call that decodes a token of one sequence, with some thousand tokens before it.
var oneToken = ir.Env{"b": 1, "s": 1, "p": 4095, "m": 4096}

// dependents says how launches of a program overlap on a machine with dependent launches.
func (k *Lowered) dependents(p *tile.Program) tile.Dependents {
	if slices.ContainsFunc(k.ahead, func(in *ir.Instr) bool { return k.in(in, p) }) {
		return tile.EarlyDependents
	}
	bytes := k.moved(p)
	n, ok := bytes.at(oneToken)
	most := streamBytes
	if slices.ContainsFunc(k.Func.Body, func(in *ir.Instr) bool { return in.ChoosesWeights() && k.in(in, p) }) {
		most = chosenBytes
	}
	if k.Func.Mode != ir.Decode || !ok || n >= most {
		return tile.LateDependents
	}
	return tile.EarlyDependents
}

// in reports whether an instruction belongs to a program: a product, with what is made of it, to the one that reads its
// weights; what the last to arrive computes to the last; the rest to the first that leaves what is made of it.
func (k *Lowered) in(in *ir.Instr, p *tile.Program) bool {
	if len(k.Programs) == 1 {
		return true
	}
	if w := weightsBehind(in); w != nil {
		return slices.ContainsFunc(p.Params, func(q *tile.Param) bool { return k.Bindings[q.Name].Value == w })
	}
	tail := false
	for _, t := range k.Func.Tail {
		tail = tail || t == in
	}
	if tail {
		return p == k.Programs[len(k.Programs)-1]
	}
	for _, q := range k.Programs {
		if k.leaves(q, in) {
			return p == q
		}
	}
	return p == k.Programs[0]
}

// leaves reports whether a program writes anything that is computed from an instruction.
func (k *Lowered) leaves(p *tile.Program, in *ir.Instr) bool {
	var from func(v *ir.Value) bool
	from = func(v *ir.Value) bool {
		return v != nil && v.Def != nil && (v.Def == in || slices.ContainsFunc(v.Def.Args, from))
	}
	for _, end := range k.Func.Body {
		for _, v := range end.Results {
			if k.writes(p, v) && from(v) {
				return true
			}
		}
	}
	return false
}

// weightsBehind are those of a product that an instruction is, or goes back to.
func weightsBehind(in *ir.Instr) *ir.Value {
	switch in.Op {
	case ops.Linear, ops.GroupedLinear, ops.ExpertLinear:
		return in.Args[len(in.Args)-1]
	case ops.HCPre, ops.HCHead:
		return in.Args[1]
	}
	for _, a := range in.Args {
		if a != nil && a.Def != nil {
			if w := weightsBehind(a.Def); w != nil {
				return w
			}
		}
	}
	return nil
}

// moved is what a launch of a program moves at least.
func (k *Lowered) moved(p *tile.Program) sum {
	var bytes sum
	for _, q := range p.Params {
		if b, ok := k.Bindings[q.Name]; ok && q.Pointer {
			k.moves(&bytes, q, b)
		}
	}
	return bytes
}

// weightBytes is what a launch of the kernel reads of weights, without their scales.
func (k *Lowered) weightBytes() *sum {
	var bytes sum
	for _, a := range k.Func.Args {
		if a.Kind == ir.WeightValue {
			k.moves(&bytes, &tile.Param{Access: tile.In}, Binding{Source: FromValue, Value: a})
		}
	}
	return &bytes
}

// moves adds the bytes of one parameter.
func (k *Lowered) moves(bytes *sum, q *tile.Param, b Binding) {
	switch b.Source {
	case FromRope:
		rows := b.Rope.Results[0].Type.Dims[1].Size
		bytes.add(k.bind(rows), ir.Const(b.Rope.Attrs.Int("dims")*4))
	case FromTicket:
		bytes.add(append(k.bindAll(b.Shape), ir.Const(2*tile.I32.Bytes()))...)
	case FromWork:
		if b.Value == nil {
			bytes.add(append(k.bindAll(b.Least()), ir.Const(q.DType.Bytes()))...)
			return
		}
		fallthrough
	case FromValue, FromScales:
		for _, t := range k.touched(q, b.Value) {
			rows, columns := t.dims[:len(t.dims)-1], t.dims[len(t.dims)-1]
			e := b.Value.Type.Elem
			switch {
			case b.Source == FromScales && e.Rows > 1:
				bytes.add(ceilDiv(multiplied(rows), e.Rows), ceilDiv(columns, e.Cols))
			case b.Source == FromScales:
				bytes.add(append(rows, ceilDiv(columns, e.Cols))...)
			case e.DType == ir.FP4:
				bytes.add(append(rows, columns.Div(ir.Const(2)))...)
			default:
				bytes.add(append(rows, columns, ir.Const(StoredAs(b.Value.Type).Bytes()))...)
			}
		}
	}
}

// part is the extents of what is read or written of a value.
type part struct{ dims []ir.Size }

// touched lists the parts of a value that a launch moves.
func (k *Lowered) touched(q *tile.Param, v *ir.Value) []part {
	var out []part
	root := v.Root()
	if q.Access != tile.Out {
		if dims, ok := k.read(root); ok {
			out = append(out, part{dims})
		}
	}
	if q.Access == tile.In {
		return out
	}
	if !root.IsState() {
		return append(out, part{k.extents(v.Type)})
	}
	for _, in := range k.Func.Body {
		for _, operand := range in.Updated() {
			if in.Args[operand].Root() != root {
				continue
			}
			if in.Op.Stores {
				out = append(out, part{k.extents(in.Args[1].Type)})
			} else {
				out = append(out, part{k.extents(root.Type)})
			}
		}
	}
	return out
}

// read is what is read of a value in memory: all, or the rows that all of its readers find by index.
func (k *Lowered) read(root *ir.Value) (dims []ir.Size, ok bool) {
	for _, in := range k.Func.Body {
		for i, a := range in.Args {
			if a == nil || a.Root() != root || in.Op.Class == ir.View || writesOnly(in, i) {
				continue
			}
			ok = true
			by, axis, indexed := in.IndexedBy(i)
			if !indexed {
				return k.extents(root.Type), true
			}
			dims = k.named(in, i, by, axis)
		}
	}
	if !ok && !root.IsState() {
		return k.extents(root.Type), true // through views alone
	}
	return dims, ok
}

// writesOnly reports whether an operand is a state that the instruction does not look at.
func writesOnly(in *ir.Instr, i int) bool {
	for _, operand := range in.Op.Updates {
		if operand == i {
			return len(in.Results) == len(in.Op.Updates)
		}
	}
	return false
}

// named is the part of operand i that the values of operand by name along an axis: at most one row for each of them.
func (k *Lowered) named(in *ir.Instr, i, by, axis int) []ir.Size {
	dims := in.Args[i].Type.Dims
	names := ir.Const(1)
	for _, d := range in.Args[by].Type.Dims {
		names = names.Mul(k.bind(d.Size))
	}
	if n := dims[axis].Split; n > 1 {
		names = ceilDiv(names, n)
	}
	theirs := map[string]bool{}
	for _, l := range in.Letters(by) {
		theirs[l] = true
	}
	rows, rest := ir.Const(1), []ir.Size{}
	for j, l := range in.Letters(i) {
		n := k.written(dims[j].Size)
		if j == axis || theirs[l] {
			rows = rows.Mul(n)
		} else {
			rest = append(rest, n)
		}
	}
	return append([]ir.Size{rows.Min(names)}, rest...)
}

// local is the work of an instruction on one rank, which has its share of the experts.
func (k *Lowered) local(in *ir.Instr, work ir.Size) ir.Size {
	for i, a := range in.Args {
		if a == nil {
			continue
		}
		if _, axis, ok := in.IndexedBy(i); ok && a.Type.Dims[axis].Split > 1 {
			work = ceilDiv(work, a.Type.Dims[axis].Split)
		}
	}
	return k.bind(work)
}

func (k *Lowered) bind(s ir.Size) ir.Size { return s.Bind(k.Func.Mode.Bound()) }

func (k *Lowered) bindAll(sizes []ir.Size) []ir.Size {
	var out []ir.Size
	for _, s := range sizes {
		out = append(out, k.bind(s))
	}
	return out
}

func (k *Lowered) extents(t ir.Type) []ir.Size {
	var out []ir.Size
	for _, d := range t.Dims {
		out = append(out, k.written(d.Size))
	}
	return out
}

// written is an extent of a cache as far as tokens have come: m, what it holds at most, becomes p + s.
func (k *Lowered) written(s ir.Size) ir.Size {
	return k.bind(ir.Walk(s, ir.Const, func(name string) ir.Size {
		if name == "m" {
			return ir.Sym("p").Add(ir.Sym("s"))
		}
		return ir.Sym(name)
	}, combine))
}

func combine(op byte, a, b ir.Size) ir.Size {
	switch op {
	case '+':
		return a.Add(b)
	case '-':
		return a.Sub(b)
	case '*':
		return a.Mul(b)
	case '/':
		return a.Div(b)
	}
	return a.Min(b)
}

func multiplied(sizes []ir.Size) ir.Size {
	n := ir.Const(1)
	for _, s := range sizes {
		n = n.Mul(s)
	}
	return n
}

// sum is a sum of products, in which constants are gathered.
type sum struct {
	order    []string // the factors that are no constants, as text
	times    map[string]int
	products [][]ir.Size
}

// at is the sum for sizes, if they are all that it needs.
func (s *sum) at(env ir.Env) (int, bool) {
	total := 0
	for _, factors := range s.products {
		n, ok := multiplied(factors).Bind(env).IsConst()
		if !ok {
			return 0, false
		}
		total += n
	}
	return total, true
}

// add adds a product.
func (s *sum) add(factors ...ir.Size) {
	s.products = append(s.products, factors)
	k := 1
	var text []string
	var split func(f ir.Size)
	split = func(f ir.Size) {
		if n, ok := f.IsConst(); ok {
			k *= n
			return
		}
		if a, b, ok := f.Factors(); ok {
			split(a)
			split(b)
			return
		}
		text = append(text, express(f).operand())
	}
	for _, f := range factors {
		split(f)
	}
	key := strings.Join(text, " * ")
	if s.times == nil {
		s.times = map[string]int{}
	}
	if _, ok := s.times[key]; !ok {
		s.order = append(s.order, key)
	}
	s.times[key] += k
}

// text is the sum as an expression over known names, "" if it needs others.
func (s *sum) text(known map[string]bool) string {
	var out []string
	constant := 0
	for _, key := range s.order {
		switch n := s.times[key]; {
		case n == 0:
		case key == "":
			constant = n
		case n == 1:
			out = append(out, key)
		default:
			out = append(out, fmt.Sprintf("%d * %s", n, key))
		}
	}
	if constant > 0 || len(out) == 0 {
		out = append(out, fmt.Sprint(constant))
	}
	text := strings.Join(out, " + ")
	names, err := tile.ExprNames(text)
	if err != nil {
		return ""
	}
	for _, n := range names {
		if !known[n] {
			return ""
		}
	}
	return text
}
