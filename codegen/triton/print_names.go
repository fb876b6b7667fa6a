package triton

import (
	"sort"
	"strconv"
	"strings"
	"unicode"

	"flagc/ir/tile"
)

// reserved are names that values cannot have.
var reserved = map[string]bool{
	"tl": true, "triton": true, "range": true, "float": true, "int": true, "min": true, "max": true, "len": true,
	"False": true, "None": true, "True": true, "and": true, "as": true, "assert": true, "async": true, "await": true,
	"break": true, "class": true, "continue": true, "def": true, "del": true, "elif": true, "else": true,
	"except": true, "finally": true, "for": true, "from": true, "global": true, "if": true, "import": true,
	"in": true, "is": true, "lambda": true, "nonlocal": true, "not": true, "or": true, "pass": true, "raise": true,
	"return": true, "try": true, "while": true, "with": true, "yield": true, "match": true, "case": true,
}

// assignNames gives every variable a name. Two variables share one only if they are of one type and in blocks that
// do not contain each other: Triton carries a name from outside a loop around it, and compares the types of a name
// in two branches.
func (l *plan) assignNames() {
	taken := l.taken
	for _, p := range l.program.Params {
		taken[p.Name] = append(taken[p.Name], nil)
	}
	for _, c := range l.program.Consts {
		taken[c.Name] = append(taken[c.Name], nil)
	}
	for _, x := range l.variables() {
		base := identifier(x.hint)
		if base == "" {
			base = identifier(l.describe(x.values[0]))
		}
		if t := taken[base]; len(t) > 0 && t[0] == nil { // the name of a parameter
			base += map[bool]string{true: "_value", false: "_tile"}[len(x.values[0].Shape) == 0]
		}
		x.name = l.fresh(base, x)
	}
}

// fresh is the name, numbered if the variable cannot have it.
func (l *plan) fresh(base string, x *variable) string {
	if reserved[base] {
		base += "_"
	}
	name := base
	for n := 2; !l.shares(x, l.taken[name]); n++ {
		name = base + "_" + strconv.Itoa(n)
	}
	l.taken[name] = append(l.taken[name], x)
	return name
}

// variables lists each variable once, in order of their first assignment.
func (l *plan) variables() []*variable {
	first := map[*variable]int{}
	var out []*variable
	for _, x := range l.vars {
		if _, ok := first[x]; ok {
			continue
		}
		sort.Slice(x.values, func(i, j int) bool { return l.before(x.values[i], x.values[j]) })
		first[x] = l.start(x.values[0])
		out = append(out, x)
	}
	sort.Slice(out, func(i, j int) bool { return l.before(out[i].values[0], out[j].values[0]) })
	return out
}

func (l *plan) before(x, y *tile.Value) bool {
	if l.start(x) != l.start(y) {
		return l.start(x) < l.start(y)
	}
	return l.order(x) < l.order(y)
}

// shares reports whether a variable can have the name of others.
func (l *plan) shares(x *variable, others []*variable) bool {
	for _, y := range others {
		if y == nil || !sameType(x.values[0], y.values[0]) || l.within(x.home, y.home) || l.within(y.home, x.home) {
			return false
		}
	}
	return true
}

// within reports whether a block is another or inside it.
func (l *plan) within(b, outer *tile.Block) bool {
	for b != outer {
		holder := l.holders[b]
		if holder == nil {
			return false
		}
		b = l.sites[holder].block
	}
	return true
}

// identifier turns an author's name into one of Python's.
func identifier(name string) string {
	var b strings.Builder
	for _, r := range name {
		switch {
		case r == '_' || unicode.IsLetter(r) && r < unicode.MaxASCII:
			b.WriteRune(r)
		case unicode.IsDigit(r) && r < unicode.MaxASCII && b.Len() > 0:
			b.WriteRune(r)
		case b.Len() > 0:
			b.WriteByte('_')
		}
	}
	return strings.TrimRight(b.String(), "_")
}

// describe is a name for a value that its author gave none: after the pointer that it is loaded from or stored to,
// or after what it is computed from.
func (l *plan) describe(v *tile.Value) string {
	if v.Def == nil {
		if v == l.homes[v].Args[0] {
			return "i"
		}
		return "carried"
	}
	for _, u := range l.users[v] {
		switch {
		case u.op.Code == tile.Store && u.arg == 1:
			return strings.TrimSuffix(u.op.Param.Name, "_ptr")
		case u.back:
			return l.nameOf(u.op.Body.Args[1+u.arg]) + "_next"
		}
	}
	if word := words[v.Def.Code]; word != "" && v.DType != tile.Bool {
		return word
	}
	switch op := v.Def; {
	case v.DType == tile.Bool:
		return "mask"
	case op.Code == tile.Load || op.Code == tile.AtomicAdd || op.Code == tile.Scalar:
		return strings.TrimSuffix(op.Param.Name, "_ptr")
	case op.Code == tile.Range:
		return "offs_" + strings.ToLower(strings.TrimPrefix(l.dim(v.Shape[0]), "BLOCK_"))
	case op.Code == tile.Bitcast && !v.DType.IsFloat():
		return l.root(v) + "_bits"
	case !v.DType.IsFloat() && op.Code >= tile.And && op.Code <= tile.Shr:
		return "bits"
	case !v.DType.IsFloat() && op.Code.IsBinary():
		return map[bool]string{true: "index", false: "offs"}[len(v.Shape) == 0]
	}
	if after := after[v.Def.Code]; after != "" {
		return l.root(v) + after
	}
	return l.root(v)
}

// words are the names of unnamed results that do not depend on operands.
var words = map[tile.Code]string{
	tile.ProgramID: "pid", tile.Full: "zeros", tile.Dot: "acc", tile.Where: "chosen", tile.Loop: "carried",
	tile.ConstInt: "number", tile.ConstFloat: "number", tile.Div: "quotient", tile.Mod: "remainder",
}

// after is what names of unnamed results add to that of the first operand.
var after = map[tile.Code]string{
	tile.Transpose: "_t", tile.Sum: "_sum", tile.Max: "_max", tile.Min: "_min", tile.Abs: "_abs", tile.Exp: "_exp",
	tile.Log: "_log", tile.Sqrt: "_root", tile.Rsqrt: "_rsqrt", tile.Neg: "_neg", tile.Mul: "_scaled",
	tile.Add: "_plus", tile.Sub: "_minus", tile.Floor: "_floor", tile.Maximum: "_least", tile.Minimum: "_most",
}

// nameOf is the name that tells what a value is about.
func (l *plan) nameOf(v *tile.Value) string {
	if x := l.vars[v]; x != nil && x.hint != "" {
		return x.hint
	}
	if v.Name != "" {
		return v.Name
	}
	return l.describe(v)
}

// root is the name of what a value is computed from.
func (l *plan) root(v *tile.Value) string {
	for v.Def != nil && v.Name == "" && v.Def.Code != tile.Load && len(v.Def.Args) > 0 {
		next := v.Def.Args[0]
		if len(v.Def.Args) > 1 && (isConst(next) || v.Def.Code == tile.Where) {
			next = v.Def.Args[1] // of a choice what is chosen, not what it is chosen by
		}
		v = next
	}
	return l.nameOf(v)
}
