package gohost

import (
	"go/ast"
	"go/parser"
	"go/printer"
	"go/token"
	"strconv"
	"strings"

	"flagc/ir"
)

// sizes writes sizes as Go expressions over the constants of dims.go and the locals b, s and p.
type sizes struct {
	consts map[string]string // named size → Go constant
	names  map[string]int
}

// maxSeqExpr stands for the symbol m, the tokens that the caches hold.
const maxSeqExpr = "m.maxSeq"

// dim writes an axis the way its author did, by the names of its parts.
func (z *sizes) dim(d ir.Dim) string {
	size, err := ir.ParseSize(d.Name, z.names)
	if err != nil || !size.Equal(d.Size) {
		return z.size(d.Size)
	}
	tree, err := parser.ParseExpr(d.Name)
	if err != nil {
		return z.size(d.Size)
	}
	ok := true
	ast.Inspect(tree, func(n ast.Node) bool {
		if id, is := n.(*ast.Ident); is {
			switch {
			case ir.IsSymbol(id.Name) && id.Name == "m":
				id.Name = maxSeqExpr
			case ir.IsSymbol(id.Name), id.Name == "min":
			case z.consts[id.Name] != "":
				id.Name = z.consts[id.Name]
			default:
				ok = false
			}
		}
		return true
	})
	if !ok {
		return z.size(d.Size)
	}
	var b strings.Builder
	if printer.Fprint(&b, token.NewFileSet(), tree) != nil {
		return z.size(d.Size)
	}
	return strings.NewReplacer(" ", "", ",", ", ").Replace(b.String())
}

// size writes a size by its structure.
func (z *sizes) size(s ir.Size) string {
	return ir.Walk(s,
		strconv.Itoa,
		func(sym string) string {
			if sym == "m" {
				return maxSeqExpr
			}
			return sym
		},
		func(op byte, a, b string) string {
			if op == 'm' {
				return "min(" + a + ", " + b + ")"
			}
			if op == '*' || op == '/' {
				a = factor(a)
				b = operand(b)
			} else if op == '-' {
				b = factor(b)
			}
			return a + string(op) + b
		})
}

// product writes the number of elements over the axes, "1" for none.
func (z *sizes) product(dims []ir.Dim) string {
	var parts []string
	for _, d := range dims {
		if k, ok := d.Size.IsConst(); ok && k == 1 {
			continue
		}
		text := z.dim(d)
		if len(dims) > 1 {
			text = inProduct(text)
		}
		parts = append(parts, text)
	}
	if parts == nil {
		return "1"
	}
	return strings.Join(parts, "*")
}

// inProduct puts parentheses round sums and quotients: a*b/c is not a*(b/c).
func inProduct(text string) string {
	if strings.Contains(text, "/") {
		return operand(text)
	}
	return factor(text)
}

// factor puts parentheses round a sum.
func factor(text string) string { return protect(text, token.MUL.Precedence()) }

// operand puts parentheses round anything that is not a single word.
func operand(text string) string { return protect(text, token.MUL.Precedence()+1) }

func protect(text string, strength int) string {
	tree, err := parser.ParseExpr(text)
	if err != nil {
		return "(" + text + ")"
	}
	if bin, ok := tree.(*ast.BinaryExpr); ok && bin.Op.Precedence() < strength {
		return "(" + text + ")"
	}
	return text
}

// symbols lists which of b, s and p occur in Go expressions.
func symbols(texts []string) []string {
	used := map[string]bool{}
	for _, text := range texts {
		tree, err := parser.ParseExpr(text)
		if err != nil {
			continue
		}
		ast.Inspect(tree, func(n ast.Node) bool {
			if sel, ok := n.(*ast.SelectorExpr); ok {
				ast.Inspect(sel.X, func(ast.Node) bool { return false })
				return false
			}
			if id, ok := n.(*ast.Ident); ok {
				used[id.Name] = true
			}
			return true
		})
	}
	var out []string
	for _, s := range []string{"b", "s", "p"} {
		if used[s] {
			out = append(out, s)
		}
	}
	return out
}
