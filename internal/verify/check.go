package verify

import (
	"bytes"
	"context"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"

	"flagc/codegen/triton"
	"flagc/internal/tritoncheck"
	"flagc/ir"
	"flagc/ir/eval"
	"flagc/ir/tile"
	"flagc/targets"
)

// AtMost is the share of a result's rounded values that may be the neighbours of the reference's. Sums in float32
// part from exact ones by some 2^-20 of a term; where a value lies that near to the middle between two numbers of
// bf16, 2^-9 apart, it is rounded to the other: one in some hundred at worst, where rounded values are summed again.
const AtMost = 0.02

// atMostCodes is that share of results on the grid of codes: a neighbour in bf16 becomes another code one time in
// eight, the distance of codes of e4m3 in units in the last place of bf16 being 16 and both sides counting.
const atMostCodes = AtMost / 8

// few is how many values may be neighbours whatever their share: of short results one is more than AtMost.
const few = 2

// Case is a recipe for the inputs of one launch.
type Case struct {
	Env       ir.Env
	Rank      int
	Seed      int64
	Variation string
}

// String is the recipe as people read it.
func (c Case) String() string {
	text := ""
	for _, name := range ir.Symbols {
		if v, ok := c.Env[name]; ok {
			text += fmt.Sprintf("%s=%d ", name, v)
		}
	}
	return fmt.Sprintf("%srank %d, seed %d, %s", text, c.Rank, c.Seed, c.Variation)
}

// Subject is a kernel with what it is checked on.
type Subject struct {
	Module *ir.Module
	Target targets.Target
	Kernel *triton.Lowered
	Cases  []Case
}

// CheckTiles holds the tile programs of a kernel against its ops: each case in random order of the instances, with
// races reported, and with masked lanes as the target has them; and once more in order, which must change no bit.
func (s *Subject) CheckTiles(context.Context) tritoncheck.Cell {
	return s.check(func(l eval.Launch, i int) ([]Difference, error) {
		args, err := Arguments(s.Kernel, l, s.Module.Mesh)
		if err != nil {
			return nil, err
		}
		again := copied(args)
		got, err := Execute(s.Kernel, l.Env, args, Interpreted(s.options(s.Cases[i].Seed)))
		if err != nil {
			return nil, err
		}
		if i == 0 {
			if _, err := Execute(s.Kernel, l.Env, again, Interpreted(tile.Options{})); err != nil {
				return nil, err
			}
			if name := unequal(args, again); name != "" {
				return nil, fmt.Errorf("%s depends on the order of the instances, or on masked lanes", name)
			}
		}
		return compare(s.Kernel, l.Results, got), nil
	})
}

// unequal names the first argument, by name, whose bits differ.
func unequal(a, b map[string]tile.Arg) string {
	for _, name := range slices.Sorted(maps.Keys(a)) {
		if !bytes.Equal(a[name].Data, b[name].Data) {
			return name
		}
	}
	return ""
}

// options are those of the interpreter for the target's loads.
func (s *Subject) options(seed int64) tile.Options {
	return tile.Options{Seed: seed, Races: true, PoisonMasked: s.Target.Loads.OtherIgnored.Is(true), LiveGathers: s.Target.Loads.LiveMasked.Is(true)}
}

// CheckText runs the printed text of a kernel under Triton's interpreter and holds it against the tile programs on the
// same inputs. Every other case runs the last instance first.
func (s *Subject) CheckText(ctx context.Context, in *tritoncheck.Interpreter) tritoncheck.Cell {
	dir, err := os.MkdirTemp("", "flagc-verify-")
	if err != nil {
		return tritoncheck.CellOf(err)
	}
	defer os.RemoveAll(dir)
	return s.check(func(l eval.Launch, i int) ([]Difference, error) {
		args, err := Arguments(s.Kernel, l, s.Module.Mesh)
		if err != nil {
			return nil, err
		}
		want, err := Execute(s.Kernel, l.Env, copied(args), Interpreted(tile.Options{}))
		if err != nil {
			return nil, err
		}
		got, err := Execute(s.Kernel, l.Env, args, s.printed(ctx, in, dir, i%2 == 0))
		if err != nil {
			return nil, err
		}
		return compare(s.Kernel, want, got), nil
	})
}

// copied are arguments with memory of their own, the same for those that share it.
func copied(args map[string]tile.Arg) map[string]tile.Arg {
	out, copies := maps.Clone(args), map[*byte][]byte{}
	for name, a := range out {
		if len(a.Data) == 0 {
			continue
		}
		at := &a.Data[0]
		if copies[at] == nil {
			copies[at] = slices.Clone(a.Data)
		}
		a.Data = copies[at]
		out[name] = a
	}
	return out
}

// printed runs programs as the text that is printed of them.
func (s *Subject) printed(ctx context.Context, in *tritoncheck.Interpreter, dir string, reverse bool) Run {
	return func(p *tile.Program, args map[string]tile.Arg) error {
		if err := os.WriteFile(filepath.Join(dir, p.Name+".py"), triton.Print(p), 0o644); err != nil {
			return err
		}
		c := tritoncheck.Case{Dir: dir, Kernel: p.Name, Reverse: reverse, IgnoreOther: s.Target.Loads.OtherIgnored.Is(true)}
		values := map[string]int64{}
		for _, k := range p.Consts {
			values[k.Name] = int64(k.Value)
		}
		for _, q := range p.Params {
			if q.Pointer {
				c.Args = append(c.Args, tritoncheck.Pointer(q.Name, q.DType.String(), string(q.Access), args[q.Name].Data))
				continue
			}
			n := int64(args[q.Name].Scalar)
			values[q.Name] = n
			c.Args = append(c.Args, tritoncheck.Int(q.Name, q.DType.String(), n))
		}
		n, err := tritoncheck.EvalGrid(p.Grid, values)
		if err != nil || n == 0 {
			return err
		}
		c.Grid = int(n)
		return in.Run(ctx, c)
	}
}

// check runs every case and sums up. The first that fails ends it.
func (s *Subject) check(run func(l eval.Launch, number int) ([]Difference, error)) tritoncheck.Cell {
	worst := 0.0
	for i, c := range s.Cases {
		l, err := Synthesize(s.Module, s.Kernel.Func, c.Env, c.Rank, c.Seed, c.Variation)
		if err != nil {
			return tritoncheck.CellOf(err)
		}
		diffs, err := run(l, i)
		if err == nil {
			err = Verdict(diffs)
		}
		if err != nil {
			return tritoncheck.CellOf(fmt.Errorf("%s: %w", c, err))
		}
		for _, d := range diffs {
			worst = max(worst, d.Share())
		}
	}
	return tritoncheck.Pass(map[string]any{"launches": len(s.Cases), "unequal": worst})
}
