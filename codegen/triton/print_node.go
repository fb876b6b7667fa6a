package triton

import (
	"strings"
	"unicode/utf8"
)

// node is a Python expression that is not text yet, so that a long one can be broken into lines.
type node struct {
	kind nodeKind
	text string // of an atom, an operator, what is called, a suffix, a keyword
	prec int
	args []*node
}

type nodeKind uint8

const (
	atom    nodeKind = iota
	binary           // args[0] text args[1]
	prefix           // text args[0]
	suffix           // args[0] text, as x[:, None] and x.to(…)
	call             // text(args…)
	keyword          // text=args[0], of a call
)

// Precedences of Python, from loose to tight.
const (
	precNot = iota
	precCompare
	precOr
	precXor
	precAnd
	precShift
	precSum
	precProduct
	precUnary
	precAtom
)

func newAtom(text string) *node {
	n := &node{text: text, prec: precAtom}
	if strings.HasPrefix(text, "-") {
		n.prec = precUnary
	}
	return n
}

func newCall(name string, args ...*node) *node {
	return &node{kind: call, text: name, prec: precAtom, args: args}
}

func newKeyword(name string, arg *node) *node {
	return &node{kind: keyword, text: name + "=", args: []*node{arg}}
}

func newSuffix(x *node, text string) *node {
	return &node{kind: suffix, text: text, prec: precAtom, args: []*node{x}}
}

// isBitwise reports whether few readers know by heart how an operator binds.
func isBitwise(prec int) bool { return prec >= precOr && prec <= precShift }

// open reports whether an operand needs parentheses.
func (n *node) open(arg int) bool {
	x := n.args[arg]
	switch n.kind {
	case suffix:
		return x.prec < precAtom
	case prefix:
		return x.prec < n.prec || n.prec == precNot && x.prec == precNot
	case binary:
		if x.kind == binary && x.text != n.text && (isBitwise(n.prec) || isBitwise(x.prec)) {
			return true
		}
		associative := x.text == n.text && isBitwise(n.prec) && n.prec != precShift
		return x.prec < n.prec || x.prec == n.prec && !associative && (arg == 1 || n.prec == precCompare)
	}
	return false
}

// flat is the expression on one line.
func (n *node) flat() string {
	arg := func(i int) string {
		if n.open(i) {
			return "(" + n.args[i].flat() + ")"
		}
		return n.args[i].flat()
	}
	switch n.kind {
	case binary:
		return arg(0) + " " + n.text + " " + arg(1)
	case prefix, keyword:
		return n.text + arg(0)
	case suffix:
		return arg(0) + n.text
	case call:
		return n.text + "(" + flatList(n.args) + ")"
	}
	return n.text
}

func flatList(nodes []*node) string {
	texts := make([]string, len(nodes))
	for i, a := range nodes {
		texts[i] = a.flat()
	}
	return strings.Join(texts, ", ")
}

// lines is the expression between two texts, broken where it does not fit: inside brackets first, and before
// operators where there are brackets around.
func (n *node) lines(before, after string, indent int, bracketed bool) []string {
	one := strings.Repeat(" ", indent) + before + n.flat() + after
	if utf8.RuneCountInString(one) <= lineWidth {
		return []string{one}
	}
	switch n.kind {
	case call:
		return n.callLines(before, after, indent)
	case keyword:
		return n.args[0].lines(before+n.text, after, indent, bracketed)
	case suffix, prefix:
		if n.kind == prefix {
			before += n.text
		} else {
			after = n.text + after
		}
		if n.open(0) {
			return enclosed(before+"(", n.args[0], ")"+after, indent)
		}
		return n.args[0].lines(before, after, indent, bracketed)
	case binary:
		if !bracketed {
			return enclosed(before+"(", n, ")"+after, indent)
		}
		return n.binaryLines(before, after, indent)
	}
	return []string{one}
}

func (n *node) callLines(before, after string, indent int) []string {
	pad := strings.Repeat(" ", indent)
	out := []string{pad + before + n.text + "("}
	if list := pad + "    " + flatList(n.args); utf8.RuneCountInString(list) <= lineWidth {
		out = append(out, list)
	} else if len(n.args) == 1 {
		out = append(out, n.args[0].lines("", "", indent+4, true)...)
	} else {
		for _, a := range n.args {
			out = append(out, a.lines("", ",", indent+4, true)...)
		}
	}
	return append(out, pad+")"+after)
}

// enclosed puts an expression between brackets on lines of their own.
func enclosed(before string, n *node, after string, indent int) []string {
	pad := strings.Repeat(" ", indent)
	out := append([]string{pad + before}, n.lines("", "", indent+4, true)...)
	return append(out, pad+after)
}

// binaryLines puts each operand of a chain of operators on a line of its own.
func (n *node) binaryLines(before, after string, indent int) []string {
	var out []string
	if left := n.args[0]; n.open(0) {
		out = left.lines(before+"(", ")", indent, true)
	} else if left.kind == binary && left.prec == n.prec {
		out = left.binaryLines(before, "", indent)
	} else {
		out = left.lines(before, "", indent, true)
	}
	if n.open(1) {
		return append(out, n.args[1].lines(n.text+" (", ")"+after, indent, true)...)
	}
	return append(out, n.args[1].lines(n.text+" ", after, indent, true)...)
}
