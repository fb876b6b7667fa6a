package verify

import (
	"bytes"
	"fmt"

	"flagc/codegen/triton"
	"flagc/ir"
	"flagc/ir/eval"
	"flagc/ir/tile"
)

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
	got, err := Execute(k, l.Env, args, run)
	if err != nil {
		return nil, err
	}
	return compare(k, l.Results, got), nil
}

// Execute runs the programs of a kernel on encoded arguments, which stores change, and reads what they leave.
func Execute(k *triton.Lowered, env ir.Env, args map[string]tile.Arg, run Run) ([]*ir.Tensor, error) {
	for _, p := range k.Programs {
		mine := map[string]tile.Arg{}
		for _, q := range p.Params {
			mine[q.Name] = args[q.Name]
		}
		if err := run(p, mine); err != nil {
			return nil, err
		}
	}
	return left(k, env, args)
}

// left reads the results that programs have left, and holds that tickets are zeros again for the next launch.
func left(k *triton.Lowered, env ir.Env, args map[string]tile.Arg) ([]*ir.Tensor, error) {
	for name, b := range k.Bindings {
		if b.Source == triton.FromTicket && len(bytes.Trim(args[name].Data, "\x00")) > 0 {
			return nil, fmt.Errorf("kernel %s leaves %s other than it was", k.Func.FullName(), name)
		}
	}
	out := make([]*ir.Tensor, len(k.Func.Return))
	for i, v := range k.Func.Return {
		shape, err := v.Type.Shape(env)
		if err != nil {
			return nil, err
		}
		data, scales := stored(k, v, args)
		if out[i], err = decode(data, scales, v.Type, shape); err != nil {
			return nil, fmt.Errorf("kernel %s: %s: %w", k.Func.FullName(), v.Ref(), err)
		}
	}
	return out, nil
}

// stored is where programs leave a result: its elements or codes, and its scales. A state lies where it lay before.
func stored(k *triton.Lowered, v *ir.Value, args map[string]tile.Arg) (data, scales []byte) {
	if v.IsState() {
		v = v.Root()
	}
	for name, b := range k.Bindings {
		switch {
		case b.Value != v:
		case b.Source == triton.FromValue:
			data = args[name].Data
		case b.Source == triton.FromScales:
			scales = args[name].Data
		}
	}
	return data, scales
}

// Arguments encodes what each parameter of a kernel's programs is given. Room for results is filled with NaN.
func Arguments(k *triton.Lowered, l eval.Launch, mesh ir.Mesh) (map[string]tile.Arg, error) {
	return arguments(k, l, mesh, encode)
}

func arguments(k *triton.Lowered, l eval.Launch, mesh ir.Mesh, encode encoder) (map[string]tile.Arg, error) {
	given := map[*ir.Value]*ir.Tensor{}
	for i, a := range k.Func.Args {
		given[a] = l.Args[i]
	}
	encoded := map[*ir.Value][2][]byte{}
	out := map[string]tile.Arg{}
	for name, b := range k.Bindings {
		var arg tile.Arg
		var err error
		source := b.Source
		if source == triton.FromWork && b.Value != nil { // one room for all the ways in which programs read it
			source = triton.FromValue
		}
		switch source {
		case triton.FromSize:
			arg.Scalar = l.Env[b.Symbol]
		case triton.FromFirst:
			n, _ := b.Axis.Size.IsConst()
			arg.Scalar = mesh.Index(l.Rank, b.Axis.Over) * n
		case triton.FromRope:
			arg.Data, err = ropeTable(b.Rope, l.Env)
		case triton.FromTicket, triton.FromWork:
			arg.Data, err = room(b, l.Env)
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

// encoder stores a value's tensor as programs find it: elements, or codes and scales.
type encoder func(v *ir.Value, t *ir.Tensor, env ir.Env) ([2][]byte, error)

// room is for what a launch keeps between its programs or instances; tickets begin as zeros.
func room(b triton.Binding, env ir.Env) ([]byte, error) {
	n, err := elements(b.Shape, env)
	if err != nil {
		return nil, err
	}
	if n *= b.DType.Bytes(); b.Source == triton.FromTicket {
		return make([]byte, n), nil
	}
	return garbage(n, b.DType), nil
}

// elements is how many elements extents make.
func elements(extents []ir.Size, env ir.Env) (int, error) {
	n := 1
	for _, size := range extents {
		k, err := size.Eval(env)
		if err != nil {
			return 0, err
		}
		n *= k
	}
	return n, nil
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
		pair[0] = garbage(n*d.Bytes(), d)
		if v.Type.Elem.IsQuantised() {
			pair[1] = garbage(n/k*(k/v.Type.Elem.Cols), d)
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

// garbage is room that nothing has written: NaN in every format of numbers, and of indices none that is ever right,
// least of all -1.
func garbage(n int, d tile.DType) []byte {
	fill := byte(0xff)
	if d == tile.I32 {
		fill = 0x55
	}
	return bytes.Repeat([]byte{fill}, n)
}
