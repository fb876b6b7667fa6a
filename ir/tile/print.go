package tile

import (
	"fmt"
	"math"
	"strconv"
	"strings"
)

// String prints the program; Parse reads it back.
func (p *Program) String() string {
	w := &printer{refs: nameValues(p)}
	w.comments("", p.Doc)
	w.WriteString("kernel " + p.Name)
	if p.Source != "" {
		w.WriteString(" from " + strconv.Quote(p.Source))
	}
	w.WriteString("\n")
	w.columns(p.declarations())
	w.fact("grid", p.Grid)
	fmt.Fprintf(w, "launch warps=%d stages=%d", p.Launch.Warps, p.Launch.Stages)
	if n := p.Launch.Registers; n != 0 {
		fmt.Fprintf(w, " registers=%d", n)
	}
	if d := p.Launch.Dependents; d != NoDependents {
		fmt.Fprintf(w, " dependents=%s", d)
	}
	w.WriteString("\n")
	w.fact("bytes", p.Bytes)
	w.fact("flops", p.Flops)
	w.WriteString("{\n")
	w.block(p.Body, "  ")
	w.WriteString("}\n")
	return w.Builder.String()
}

// Print writes the text of String.
func Print(p *Program) string { return p.String() }

// OpText is the line of one op as the program's text has it.
func (p *Program) OpText(op *Op) string {
	w := &printer{refs: nameValues(p)}
	return w.line(op)
}

type printer struct {
	strings.Builder
	refs map[*Value]string
}

// nameValues gives each value its reference: its name, with a number from the second of that name on, or a number
// alone. The order is that of the text, so that reading it back gives the same.
func nameValues(p *Program) map[*Value]string {
	n := namer{refs: map[*Value]string{}, count: map[string]int{}}
	n.block(p.Body)
	return n.refs
}

type namer struct {
	refs  map[*Value]string
	count map[string]int
}

func (n *namer) block(b *Block) {
	if b == nil {
		return
	}
	for _, v := range b.Args {
		n.value(v)
	}
	for _, op := range b.Ops {
		if op == nil {
			continue
		}
		for _, v := range op.Results {
			n.value(v)
		}
		n.block(op.Body)
		n.block(op.Else)
	}
}

func (n *namer) value(v *Value) {
	if v == nil || n.refs[v] != "" {
		return
	}
	k := n.count[v.Name]
	n.count[v.Name]++
	switch {
	case v.Name == "":
		n.refs[v] = fmt.Sprintf("%%%d", k)
	case k == 0:
		n.refs[v] = "%" + v.Name
	default:
		n.refs[v] = fmt.Sprintf("%%%s.%d", v.Name, k)
	}
}

func (w *printer) ref(v *Value) string {
	if v == nil {
		return "_"
	}
	if r, ok := w.refs[v]; ok {
		return r
	}
	return "%" + v.Name + "?" // of no block: Verify says so
}

// oneLine keeps a comment from becoming anything else.
func oneLine(s string) string {
	return strings.TrimSpace(strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7F || r == 0xFFFD {
			return ' '
		}
		return r
	}, s))
}

func (w *printer) comments(indent, text string) {
	if text == "" {
		return
	}
	for _, line := range strings.Split(text, "\n") {
		w.WriteString(strings.TrimRight(indent+"# "+oneLine(line), " ") + "\n")
	}
}

func (w *printer) fact(word, text string) {
	if text != "" {
		w.WriteString(word + " " + text + "\n")
	}
}

// declarations are the lines of constants and parameters with what they are.
func (p *Program) declarations() [][2]string {
	var out [][2]string
	for _, c := range p.Consts {
		out = append(out, [2]string{fmt.Sprintf("const %s = %d", c.Name, c.Value), c.Doc})
	}
	for _, q := range p.Params {
		text := "scalar " + q.Name
		if q.Pointer {
			text = fmt.Sprintf("%s %s: %s[%s]", q.Access, q.Name, q.DType, strings.Join(q.Shape, ", "))
			if q.Settled {
				text = "settled " + text
			}
		}
		out = append(out, [2]string{text, q.Doc})
	}
	return out
}

// columns prints lines with a second column behind "#".
func (w *printer) columns(lines [][2]string) {
	width := 0
	for _, l := range lines {
		width = max(width, min(len(l[0]), 48))
	}
	for _, l := range lines {
		if doc := oneLine(l[1]); doc != "" {
			fmt.Fprintf(w, "%-*s  # %s\n", width, l[0], doc)
		} else {
			w.WriteString(l[0] + "\n")
		}
	}
}

// typeColumn bounds where the types of a block stand; longer lines push theirs to the right.
const typeColumn = 64

func (w *printer) block(b *Block, indent string) {
	width := 0
	for _, op := range b.Ops {
		if n := len(w.head(op)); op.Code != Loop && op.Code != If && len(op.Results) > 0 && n <= typeColumn {
			width = max(width, n)
		}
	}
	for _, op := range b.Ops {
		w.comments(indent, op.Note)
		switch head := w.head(op); {
		case op.Code == Loop:
			w.WriteString(indent + head + " {\n")
			w.block(op.Body, indent+"  ")
			w.yield(op.Body, indent+"  ")
			w.WriteString(indent + "}\n")
		case op.Code == If:
			w.WriteString(indent + head + " {\n")
			w.block(op.Body, indent+"  ")
			if op.Else != nil {
				w.WriteString(indent + "} else {\n")
				w.block(op.Else, indent+"  ")
			}
			w.WriteString(indent + "}\n")
		case len(op.Results) > 0:
			fmt.Fprintf(w, "%s%-*s : %s\n", indent, width, head, typeText(op.Results[0]))
		default:
			w.WriteString(indent + head + "\n")
		}
	}
}

func (w *printer) yield(b *Block, indent string) {
	if len(b.Yield) > 0 {
		w.WriteString(indent + "yield " + w.list(b.Yield) + "\n")
	}
}

func (w *printer) list(values []*Value) string {
	refs := make([]string, len(values))
	for i, v := range values {
		refs[i] = w.ref(v)
	}
	return strings.Join(refs, ", ")
}

// line is an op with the type of its result.
func (w *printer) line(op *Op) string {
	if op.Code != Loop && len(op.Results) > 0 {
		return w.head(op) + " : " + typeText(op.Results[0])
	}
	return w.head(op)
}

// String is the extent with the name of its constant: "BLOCK=64".
func (d Dim) String() string {
	if d.Name != "" {
		return d.Name + "=" + strconv.Itoa(d.Size)
	}
	return strconv.Itoa(d.Size)
}

// typeText is the format with the extents: "bf16[BLOCK=64, 128]".
func typeText(v *Value) string {
	if v == nil {
		return "_"
	}
	text := v.DType.String()
	if len(v.Shape) == 0 {
		return text
	}
	dims := make([]string, len(v.Shape))
	for i, d := range v.Shape {
		dims[i] = d.String()
	}
	return text + "[" + strings.Join(dims, ", ") + "]"
}

// head is an op without the type of its result and without the blocks that it holds.
func (w *printer) head(op *Op) string {
	if len(op.Results) == 0 {
		return w.call(op)
	}
	return w.list(op.Results) + " = " + w.call(op)
}

func (w *printer) arg(op *Op, i int) string {
	if i < len(op.Args) {
		return w.ref(op.Args[i])
	}
	return "_"
}

func paramName(q *Param) string {
	if q == nil {
		return "_"
	}
	return q.Name
}

// call is an op's name with its operands.
func (w *printer) call(op *Op) string {
	name := op.Code.String()
	switch c := op.Code; {
	case c == Scalar:
		return name + " " + paramName(op.Param)
	case c == ConstInt && op.Const != nil:
		return name + " " + op.Const.Name
	case c == ConstInt:
		return name + " " + strconv.FormatInt(op.Int, 10)
	case c == ConstFloat:
		return name + " " + floatText(op.Float)
	case c == Load:
		return name + " " + w.place(op, 0) + w.mask(op, 1) + w.other(op)
	case c == Store:
		return name + " " + w.place(op, 0) + " = " + w.arg(op, 1) + w.mask(op, 2)
	case c == AtomicAdd:
		return name + " " + w.place(op, 0) + ", " + w.arg(op, 1)
	case c == Loop:
		return name + w.loop(op)
	case c == Expand || c.IsReduction():
		return fmt.Sprintf("%s %s {axis=%d}", name, w.list(op.Args), op.Axis)
	case c == Transpose:
		return fmt.Sprintf("%s %s {perm=%s}", name, w.list(op.Args), strings.ReplaceAll(fmt.Sprint(op.Perm), " ", ", "))
	case len(op.Args) == 0:
		return name
	}
	return name + " " + w.list(op.Args)
}

// place is where an op reads or writes: "x[%at]".
func (w *printer) place(op *Op, i int) string { return paramName(op.Param) + "[" + w.arg(op, i) + "]" }

func (w *printer) mask(op *Op, i int) string {
	if i < len(op.Args) && op.Args[i] != nil {
		return " if " + w.ref(op.Args[i])
	}
	return ""
}

// other is what masked lanes hold, if the load says; without a mask nobody sees it.
func (w *printer) other(op *Op) string {
	if len(op.Args) > 1 && op.Args[1] != nil && !math.IsNaN(op.Float) {
		return " else " + floatText(op.Float)
	}
	return ""
}

func (w *printer) loop(op *Op) string {
	counter, carried := "_", []*Value(nil)
	if op.Body != nil && len(op.Body.Args) > 0 {
		counter, carried = w.ref(op.Body.Args[0]), op.Body.Args[1:]
	}
	text := fmt.Sprintf(" %s = %s to %s step %d", counter, w.arg(op, 0), w.arg(op, 1), op.Step)
	for k, v := range carried {
		word := ", "
		if k == 0 {
			word = " with "
		}
		text += word + w.ref(v) + " = " + w.arg(op, k+2)
	}
	if op.While {
		text += " while"
	}
	return text
}

// floatText is the shortest text that reads back as the same float64.
func floatText(x float64) string {
	switch {
	case math.IsNaN(x):
		return "nan"
	case math.IsInf(x, 0):
		return map[bool]string{true: "inf", false: "-inf"}[x > 0]
	}
	return strconv.FormatFloat(x, 'g', -1, 64)
}
