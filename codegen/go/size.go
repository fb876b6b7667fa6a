package gohost

import (
	"go/ast"
	"go/parser"
	"go/token"
	"strconv"

	"github.com/dave/jennifer/jen"

	"flagc/ir"
)

// sizes writes sizes as Go expressions over the constants of dims.go and the locals b, s and p.
type sizes struct {
	consts map[string]string // named size → Go constant
	names  map[string]int
	ranks  map[string]string // axis of the mesh → Go constant of its size; "" for all ranks
}

// dim writes an axis the way its author did, by the names of its parts; one that is split as the part of a rank.
func (z *sizes) dim(d ir.Dim) expr {
	if d.Split > 0 {
		return z.dim(d.Whole()).op("/", word(jen.Id(z.ranks[d.Over])))
	}
	size, err := ir.ParseSize(d.Name, z.names)
	if err != nil || !size.Equal(d.Size) {
		return z.size(d.Size)
	}
	tree, err := parser.ParseExpr(d.Name) // the notation of sizes is Go's
	if err != nil {
		return z.size(d.Size)
	}
	if x, ok := z.written(tree); ok {
		return x
	}
	return z.size(d.Size)
}

// written follows an axis's own text; false if it holds what has no name in the program.
func (z *sizes) written(tree ast.Expr) (expr, bool) {
	switch x := tree.(type) {
	case *ast.ParenExpr:
		return z.written(x.X)
	case *ast.BasicLit:
		n, err := strconv.Atoi(x.Value)
		return number(n), err == nil
	case *ast.Ident:
		if ir.IsSymbol(x.Name) {
			return sizeSymbol(x.Name), true
		}
		name := z.consts[x.Name]
		return word(jen.Id(name)), name != ""
	case *ast.BinaryExpr:
		a, okA := z.written(x.X)
		b, okB := z.written(x.Y)
		return a.op(x.Op.String(), b), okA && okB && x.Op.Precedence() >= token.ADD.Precedence()
	case *ast.CallExpr:
		if f, ok := x.Fun.(*ast.Ident); !ok || f.Name != "min" || len(x.Args) != 2 {
			return expr{}, false
		}
		a, okA := z.written(x.Args[0])
		b, okB := z.written(x.Args[1])
		return apply(jen.Id("min"), a, b), okA && okB
	}
	return expr{}, false
}

// size writes a size by its structure.
func (z *sizes) size(s ir.Size) expr {
	return ir.Walk(s, number, sizeSymbol, func(op byte, a, b expr) expr {
		if op == 'm' {
			return apply(jen.Id("min"), a, b)
		}
		return a.op(string(op), b)
	})
}

func number(n int) expr { return word(jen.Lit(n)) }

// sizeSymbol is a symbol of the graph: m, the tokens that the caches hold, belongs to the model, the others to
// the call.
func sizeSymbol(name string) expr {
	if name == "m" {
		return word(jen.Id("m").Dot("maxSeq"))
	}
	return symbol(name)
}

// product writes the number of elements over the axes.
func (z *sizes) product(dims []ir.Dim) expr {
	var x expr
	for _, d := range dims {
		switch {
		case ones([]ir.Dim{d}):
		case x.code == nil:
			x = z.dim(d)
		default:
			x = x.times(z.dim(d))
		}
	}
	if x.code == nil {
		return number(1)
	}
	return x
}

// ones reports whether all axes have one element.
func ones(dims []ir.Dim) bool {
	for _, d := range dims {
		if k, ok := d.Size.IsConst(); !ok || k != 1 {
			return false
		}
	}
	return true
}
