package verify

import (
	"fmt"
	"math"

	"flagc/codegen/triton"
	"flagc/ir"
	"flagc/ir/eval"
	"flagc/ir/ops"
	"flagc/ir/tile"
)

// Difference says how far a result of a kernel is from the reference.
type Difference struct {
	Result   string
	Total    int     // elements
	Unequal  int     // that are not the same bits (of what is rounded to bf16), or further than float32 explains
	Beyond   int     // that are more than one unit in the last place of bf16 away
	Relative float64 // error of the worst row, relative to its norm
	Where    string  // the first that differs: position, value, expected
}

// Run is how a launch's programs are executed.
type Run func(p *tile.Program, args map[string]tile.Arg) error

// Interpreted runs programs in the tile interpreter.
func Interpreted(o tile.Options) Run {
	return func(p *tile.Program, args map[string]tile.Arg) error { return tile.Interpret(p, args, o) }
}

// Replay runs a launch again as tile programs and compares every result.
func Replay(k *triton.Lowered, l eval.Launch, mesh ir.Mesh, run Run) ([]Difference, error) {
	args, err := Arguments(k, l, mesh)
	if err != nil {
		return nil, err
	}
	for _, p := range k.Programs {
		mine := map[string]tile.Arg{}
		for _, q := range p.Params {
			mine[q.Name] = args[q.Name]
		}
		if err := run(p, mine); err != nil {
			return nil, err
		}
	}
	return compare(k, l, args), nil
}

// Arguments encodes what each parameter of a kernel's programs is given. Room for results is filled with NaN.
func Arguments(k *triton.Lowered, l eval.Launch, mesh ir.Mesh) (map[string]tile.Arg, error) {
	given := map[*ir.Value]*ir.Tensor{}
	for i, a := range k.Func.Args {
		given[a] = l.Args[i]
	}
	encoded := map[*ir.Value][2][]byte{}
	out := map[string]tile.Arg{}
	for name, b := range k.Bindings {
		var arg tile.Arg
		var err error
		switch b.Source {
		case triton.FromSize:
			arg.Scalar = l.Env[b.Symbol]
		case triton.FromFirst:
			n, _ := b.Axis.Size.IsConst()
			arg.Scalar = mesh.Index(l.Rank, b.Axis.Over) * n
		case triton.FromRope:
			arg.Data, err = ropeTable(b.Rope, l.Env)
		case triton.FromTicket, triton.FromWork:
			if b.Value != nil {
				arg.Data, err = room(b.Value, l.Env)
				break
			}
			n := 4
			for _, size := range b.Shape {
				k, err := size.Eval(l.Env)
				if err != nil {
					return nil, err
				}
				n *= k
			}
			if arg.Data = make([]byte, n); b.Source == triton.FromWork {
				arg.Data = filled(n)
			}
		case triton.FromValue, triton.FromScales:
			pair, ok := encoded[b.Value]
			if !ok {
				if pair, err = encode(b.Value, given[b.Value], l.Env); err != nil {
					return nil, fmt.Errorf("kernel %s: %s: %w", k.Func.FullName(), b.Value.Ref(), err)
				}
				encoded[b.Value] = pair
			}
			arg.Data = pair[0]
			if b.Source == triton.FromScales {
				arg.Data = pair[1]
			}
		default:
			err = fmt.Errorf("BUG: parameter %s has the source %s", name, b.Source)
		}
		if err != nil {
			return nil, err
		}
		out[name] = arg
	}
	return out, nil
}

// room is for what a launch keeps between its programs or instances.
func room(v *ir.Value, env ir.Env) ([]byte, error) {
	pair, err := encode(v, nil, env)
	return pair[0], err
}

// encode stores a value's tensor, or makes room for one that is not given.
func encode(v *ir.Value, t *ir.Tensor, env ir.Env) (pair [2][]byte, err error) {
	d := triton.StoredAs(v.Type)
	if t == nil {
		shape, err := v.Type.Shape(env)
		if err != nil {
			return pair, err
		}
		n, k := 1, shape[len(shape)-1]
		for _, x := range shape {
			n *= x
		}
		pair[0] = filled(n * d.Bytes())
		if v.Type.Elem.IsQuantised() {
			pair[1] = filled(n / k * (k / v.Type.Elem.Cols))
		}
		return pair, nil
	}
	if v.Type.Elem.IsQuantised() {
		pair[0], pair[1], err = quantise(t, v.Type.Elem)
		return pair, err
	}
	pair[0] = plain(t, d)
	return pair, nil
}

func filled(n int) []byte {
	out := make([]byte, n)
	for i := range out {
		out[i] = 0xff
	}
	return out
}

// compare holds every result of a launch against the reference.
func compare(k *triton.Lowered, l eval.Launch, args map[string]tile.Arg) []Difference {
	var out []Difference
	seen := map[*ir.Value]bool{}
	for i, v := range k.Func.Return {
		if seen[v] {
			continue
		}
		seen[v] = true
		at := v
		if v.IsState() {
			at = v.Root()
		}
		var data, scales []byte
		for name, b := range k.Bindings {
			if b.Value == at && b.Source == triton.FromValue {
				data = args[name].Data
			}
			if b.Value == at && b.Source == triton.FromScales {
				scales = args[name].Data
			}
		}
		want := l.Results[i]
		got := decode(data, scales, v.Type, max(1, want.Dim(-1)))
		out = append(out, difference(v, want, got))
	}
	return out
}

// difference compares the elements of one result.
func difference(v *ir.Value, want *ir.Tensor, got []float64) Difference {
	d := Difference{Result: v.Ref(), Total: want.Len()}
	if len(got) != d.Total {
		d.Unequal, d.Beyond = d.Total, d.Total
		d.Where = fmt.Sprintf("%d elements left, %d expected", len(got), d.Total)
		return d
	}
	k := max(1, want.Dim(-1))
	for r := 0; r < d.Total; r += k {
		norm, far := 0.0, 0.0
		for i := r; i < r+k; i++ {
			x := reference(want, i)
			if !isInf(x) {
				norm += x * x
			}
			e := got[i] - x
			if same(got[i], x) {
				e = 0
			}
			far += e * e
		}
		rms := math.Sqrt(norm / float64(k))
		for i := r; i < r+k; i++ {
			x := reference(want, i)
			equal, near := judge(v, got[i], x, rms)
			if !equal {
				d.Unequal++
				if d.Where == "" {
					d.Where = fmt.Sprintf("[%d, %d] is %v, expected %v", r/k, i%k, got[i], x)
				}
			}
			if !near {
				d.Beyond++
			}
		}
		if far > 0 {
			d.Relative = math.Max(d.Relative, math.Sqrt(far/math.Max(norm, 1e-30)))
		}
	}
	return d
}

func isInf(x float64) bool { return math.IsInf(x, 0) }

func same(a, b float64) bool { return a == b || math.IsNaN(a) && math.IsNaN(b) }

func reference(t *ir.Tensor, i int) float64 {
	if t.I != nil {
		return float64(t.I[i])
	}
	return t.F[i]
}

// float32Steps bounds the error of a sum in float32, relative to the root mean square of its row: 2^-24 for each of some
// hundred roundings on the way.
const float32Steps = 2e-5

// A number may be off where it is not the same: by places units in the last place of its grid, one where its own rounding
// fell on the other side of a tie, two where one on the way did, since a unit at the bottom of a binade is two at the top
// of another; or by flipped of its row's root mean square, where sums and rotations of rounded numbers cancel and a unit
// of a large term is many of a small result.
const (
	places  = 2
	flipped = 1.0 / 128
)

// subnormalStep is the exponent of the distance between the subnormal numbers of bf16.
const subnormalStep = -133

// mantissa is how many bits of a value's grid are significant, the leading one included.
func mantissa(v *ir.Value) int {
	for v.Def != nil && v.Def.Op == ops.ViewAs {
		v = v.Def.Args[0]
	}
	switch {
	case v.Def != nil && v.Def.Op == ops.FP4QuantSim:
		return 2
	case v.Def != nil && v.Def.Op == ops.ActQuantSim, v.Type.Elem.IsQuantised():
		return 4
	}
	return 8
}

// judge says whether a number is what it should be, and whether it is near: a unit or two in the last place of what is
// stored as bf16 or as codes, or within what sums in float32 are off.
func judge(v *ir.Value, got, want, rms float64) (equal, near bool) {
	t := v.Type
	if same(got, want) {
		return true, true
	}
	if t.Elem.DType.IsInt() || isInf(want) || math.IsNaN(got) {
		return false, false
	}
	e := math.Abs(got - want)
	if triton.StoredAs(t) == tile.F32 {
		size := math.Max(rms, math.Abs(want))
		return e <= float32Steps*size, e <= flipped*size
	}
	bits := mantissa(v)
	_, exponent := math.Frexp(math.Max(math.Abs(got), math.Abs(want)))
	ulp := math.Ldexp(1, max(exponent-bits, subnormalStep))
	return false, e <= places*ulp || e <= flipped*rms
}
