package gohost

import (
	"fmt"
	"math"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"flagc/internal/record"
	"flagc/ir"
	"flagc/ir/eval"
	"flagc/ir/ops"
	"flagc/runtime/safetensors"
)

// equalShare is how many bf16 values of a kernel must be the same bits as the exact ones. A float32 sum of some
// thousand terms is off by about 2^-22 of its terms, and flips a bf16 rounding (2^-9) where the exact value lies
// that close to a tie: below one value in a hundred; cancellation doubles it.
const equalShare = 0.98

// float32Error is how far an unrounded float32 row may be from the exact one, relative to its norm: 2^-24 per
// step, for sums of a few thousand terms in blocks.
const float32Error = 1e-5

// perOp is how many recorded instructions of each op and mode are replayed.
const perOp = 3

// recorded is one executed instruction, as a function of its own.
type recorded struct {
	name   string
	f      *ir.Func
	env    ir.Env
	args   []*ir.Tensor // of f.Args
	states []*ir.Tensor // of f.Params.States that the instruction reads, before it; nil for others
	out    []*ir.Tensor
}

// TestKernelsOnRecordedInputs replays instructions of a run of the interpreter in generated code, each on
// exactly the inputs that it had there.
func TestKernelsOnRecordedInputs(t *testing.T) {
	m, checkpoint := nano(t)
	chooseTokens(t, m)
	records := recordRun(t, m, checkpoint)
	replay := &ir.Module{Name: "replay", Source: m.Source, Dims: m.Dims, Params: m.Params}
	var ran []string
	for _, r := range records {
		replay.Funcs = append(replay.Funcs, r.f)
		ran = append(ran, r.f.Body[len(r.f.Body)-1].Op.Name)
	}
	for _, op := range ops.All.All() {
		if rules[op] == nil || rules[op].emit == nil || op == ops.Take || op.Class == ir.Collective {
			continue // take is a view of a cache here, and one rank meets no others
		}
		require.Contains(t, ran, op.Name, "the run does not execute the op")
	}
	program := build(t, replay, map[string]string{"main.go": harness(t, replay, records)})
	in, out := filepath.Join(t.TempDir(), "in.safetensors"), filepath.Join(t.TempDir(), "out.safetensors")
	require.NoError(t, safetensors.WriteFile(in, nil, inputs(records)))
	start(t, program, checkpoint, in, out)
	file, err := safetensors.Open(out)
	require.NoError(t, err)
	defer file.Close()
	for _, r := range records {
		for i, want := range r.out {
			got, ok := file.Tensor(fmt.Sprintf("%s.out%d", r.name, i))
			require.True(t, ok)
			checkKernel(t, r, i, want, got)
		}
	}
}

// chooseTokens has the entries look for the best token as well, which the model leaves to the host.
func chooseTokens(t *testing.T, m *ir.Module) {
	for _, f := range m.Funcs {
		if len(f.Return) == 0 || f.Return[0].Type.Elem != ir.Plain(ir.F32) {
			continue
		}
		b := ir.NewBuilder(m, f)
		for _, in := range f.Body {
			for _, r := range in.Results {
				b.Unique(r.Name)
			}
		}
		best, err := b.Op(ops.Argmax, f.Return[:1], nil, nil, f.Span)
		require.NoError(t, err)
		_, err = b.Op(ops.Pick, best.Results, ir.Attrs{{Name: "part", Value: 512}}, nil, f.Span)
		require.NoError(t, err)
	}
}

// recordRun runs a prompt that wraps the ring and completes windows of both ratios, then some tokens, and keeps
// the first instructions of each op, mode and kind of operands.
func recordRun(t *testing.T, m *ir.Module, checkpoint string) []*recorded {
	var out []*recorded
	count := map[string]int{}
	_, err := eval.Generate(m, source(t, m, checkpoint), eval.Request{
		Prompt: [][]int32{prompt(150, 512), prompt(152, 512)[2:]}, MaxNew: 3, MTP: true, MaxSeq: 180,
		Record: func(fn *ir.Func, in *ir.Instr, e *ir.Eval) {
			rule := rules[in.Op]
			if rule == nil || rule.emit == nil || in.Op == ops.Take {
				return
			}
			single := len(fn.Params.Instances) == 1
			for _, a := range in.Args {
				if a.Kind == ir.WeightValue && !single {
					return // which instance's weights is not recorded
				}
			}
			key := in.Op.Name + string(fn.Mode)
			if empty(e.Out[0]) || count[key] >= perOp || slices.ContainsFunc(out, func(r *recorded) bool {
				return r.f.Span == in.Span && r.f.Mode == fn.Mode && r.f.Body[len(r.f.Body)-1].Op == in.Op
			}) {
				return
			}
			count[key]++
			out = append(out, capture(fmt.Sprintf("r%d", len(out)), fn, in, e))
		},
	})
	require.NoError(t, err)
	return out
}

func empty(t *ir.Tensor) bool { return len(t.F)+len(t.I) == 0 }

// capture makes a function of the instruction. Operands that are caches, or the first rows of one, become the
// state itself, so that the kernel reads it where it lies.
func capture(name string, fn *ir.Func, in *ir.Instr, e *ir.Eval) *recorded {
	r := &recorded{name: name, env: e.Env, states: make([]*ir.Tensor, len(fn.Params.States))}
	r.f = &ir.Func{Name: name, Mode: fn.Mode, Params: fn.Params, Span: in.Span}
	clone := &ir.Instr{Op: in.Op, Attrs: in.Attrs, Span: in.Span}
	for i, a := range in.Args {
		state, taken := stateOf(fn, a)
		switch {
		case a.Kind == ir.WeightValue:
			clone.Args = append(clone.Args, a)
		case state >= 0:
			v := fn.Params.States[state].Value
			r.states[state] = e.Args[i].Clone()
			if taken != nil {
				take := &ir.Instr{Op: ops.Take, Args: []*ir.Value{v}, Attrs: taken.Attrs}
				v = &ir.Value{Name: "taken", Type: a.Type, Def: take}
				take.Results = []*ir.Value{v}
				r.f.Body = append(r.f.Body, take)
			}
			clone.Args = append(clone.Args, v)
		default:
			arg := &ir.Value{Kind: ir.ParamValue, Name: fmt.Sprintf("arg%d", i), Type: a.Type}
			r.f.Args = append(r.f.Args, arg)
			r.args = append(r.args, e.Args[i].Clone())
			clone.Args = append(clone.Args, arg)
		}
	}
	for i, v := range in.Results {
		res := &ir.Value{Name: fmt.Sprintf("res%d", i), Type: v.Type, Def: clone}
		clone.Results = append(clone.Results, res)
		r.out = append(r.out, e.Out[i].Clone())
		if operand, ok := in.Op.Updates[i]; ok {
			state, _ := stateOf(fn, in.Args[operand])
			r.f.Updates = append(r.f.Updates, ir.Update{State: fn.Params.States[state], Value: res})
			continue
		}
		r.f.Results = append(r.f.Results, v.Type)
		r.f.Return = append(r.f.Return, res)
	}
	r.f.Body = append(r.f.Body, clone)
	return r
}

// stateOf follows updates and takes to the state whose memory a value is; -1 if it is none.
func stateOf(fn *ir.Func, v *ir.Value) (index int, taken *ir.Instr) {
	for v.Kind == ir.ResultValue && v.Def != nil && v.Def.Op != nil {
		next := (*ir.Value)(nil)
		for i, r := range v.Def.Results {
			if operand, ok := v.Def.Op.Updates[i]; ok && r == v {
				next = v.Def.Args[operand]
			}
		}
		if v.Def.Op == ops.Take {
			next, taken = v.Def.Args[0], v.Def
		}
		if next == nil {
			return -1, nil
		}
		v = next
	}
	return slices.IndexFunc(fn.Params.States, func(s *ir.State) bool { return s.Value == v }), taken
}

// inputs stores operands and states of all records.
func inputs(records []*recorded) []safetensors.Data {
	var out []safetensors.Data
	for _, r := range records {
		for i, a := range r.args {
			t := &ir.Tensor{Elem: a.Elem, Shape: a.Shape, F: a.F, I: a.I}
			if t.I == nil {
				t.Elem = ir.Plain(ir.F32) // bf16 and dequantised values are float32 numbers
			}
			out = append(out, record.Tensor(fmt.Sprintf("%s.arg%d", r.name, i), t))
		}
		for i, s := range r.states {
			if s != nil {
				out = append(out, record.Tensor(fmt.Sprintf("%s.state%d", r.name, i), s))
			}
		}
	}
	return out
}

// harness writes the main function that calls each record's method.
func harness(t *testing.T, m *ir.Module, records []*recorded) string {
	g, err := newGenerator(m, Options{})
	require.NoError(t, err)
	var b strings.Builder
	b.WriteString(harnessHead)
	for _, r := range records {
		set := g.sets[r.f.Params]
		fmt.Fprintf(&b, "func() {\nm.Reset(%d, %d)\nl := &%#v\n_ = l\n", r.env["b"], r.env["m"],
			set.instance(r.f.Params.Instances[0]))
		call := ""
		for i, s := range r.states {
			if s != nil {
				path := "l.state." + set.states[r.f.Params.States[i].Value.Name]
				fmt.Fprintf(&b, "read(\"%s.state%d\", %s, %d)\n", r.name, i, path, r.env["b"])
			}
		}
		for i, v := range r.f.Return {
			fmt.Fprintf(&b, "out%d := make(%#v, %d)\n", i, reprOf(v).code(), r.out[i].Len())
			call += fmt.Sprintf(", out%d", i)
		}
		for i, a := range r.f.Args {
			fmt.Fprintf(&b, "arg%d := make(%#v, %d)\n", i, reprOf(a).code(), r.args[i].Len())
			fmt.Fprintf(&b, "read(\"%s.arg%d\", arg%d, 1)\n", r.name, i, i)
			call += fmt.Sprintf(", arg%d", i)
		}
		fmt.Fprintf(&b, "m.%s(call{b: %d, s: %d, p: %d}, l%s)\n", g.funcs[r.f],
			r.env["b"], r.env["s"], r.env["p"], call)
		for i := range r.out {
			from := fmt.Sprintf("out%d", i)
			if i >= len(r.f.Return) {
				from = "l.state." + set.states[r.f.Updates[i-len(r.f.Return)].State.Value.Name]
			}
			fmt.Fprintf(&b, "save(\"%s.out%d\", %s)\n", r.name, i, from)
		}
		b.WriteString("}()\n")
	}
	return b.String() + "}\n"
}

const harnessHead = `package main

import (
	"encoding/binary"
	"os"

	"replay/runtime/host"
	"replay/runtime/safetensors"
)

func must(err error) {
	if err != nil {
		panic(err)
	}
}

func main() {
	checkpoint, err := safetensors.OpenCheckpoint(os.Args[1])
	must(err)
	binder := host.NewBinder(checkpoint, nil)
	m := load(binder, 2)
	must(binder.Err())
	in, err := safetensors.Open(os.Args[2])
	must(err)
	// read fills to, batch row by batch row: a row of the file may be shorter than one of to.
	read := func(name string, to any, batch int) {
		t, ok := in.Tensor(name)
		if !ok {
			panic(name)
		}
		switch x := to.(type) {
		case []float32:
			from, err := t.Float32s()
			must(err)
			copy(x, from)
		case []int32:
			from, err := t.Int32s()
			must(err)
			copy(x, from)
		case []uint16:
			row := len(t.Data) / 2 / batch
			for i := range len(t.Data) / 2 {
				x[i/row*(len(x)/batch)+i%row] = binary.LittleEndian.Uint16(t.Data[2*i:])
			}
		}
	}
	var out []safetensors.Data
	save := func(name string, x any) {
		d := safetensors.Data{Spec: safetensors.Spec{Name: name}}
		switch x := x.(type) {
		case []float32:
			d.DType, d.Shape = "F32", []int{len(x)}
		case []int32:
			d.DType, d.Shape = "I32", []int{len(x)}
		case []uint16:
			d.DType, d.Shape = "BF16", []int{len(x)}
		}
		d.Bytes, err = binary.Append(nil, binary.LittleEndian, x)
		must(err)
		out = append(out, d)
	}
	defer func() { must(safetensors.WriteFile(os.Args[3], nil, out)) }()
`

// checkKernel compares one result with the exact one.
func checkKernel(t *testing.T, r *recorded, i int, want *ir.Tensor, got safetensors.Tensor) {
	in := r.f.Body[len(r.f.Body)-1]
	what := fmt.Sprintf("%s %s line %d, result %d", in.Op.Name, r.f.Mode, in.Span.Line, i)
	if want.I != nil {
		x, err := got.Int32s()
		require.NoError(t, err)
		require.Equal(t, want.I, x, what)
		return
	}
	x, err := got.Float32s()
	require.NoError(t, err)
	require.Len(t, x, len(want.F), what)
	same, diff, norm := 0, 0.0, 0.0
	for j, v := range want.F {
		if float32(v) == x[j] {
			same++
			continue
		}
		diff += (v - float64(x[j])) * (v - float64(x[j]))
		norm += v * v
	}
	if want.Elem == ir.Plain(ir.F32) {
		require.LessOrEqual(t, math.Sqrt(diff), float32Error*math.Sqrt(norm)+math.SmallestNonzeroFloat64, what)
		return
	}
	share := float64(same) / float64(len(want.F))
	t.Logf("%-60s %.4f equal", what, share)
	require.GreaterOrEqual(t, share, equalShare, what)
}
