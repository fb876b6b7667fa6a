package tile

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestSimplifyKeepsTheBits(t *testing.T) {
	before, after := 0, 0
	for seed := range int64(randomPrograms) {
		p := randomProgram(seed)
		text := p.String()
		want := results(t, p, Options{})
		Simplify(p)
		require.NoError(t, Verify(p), text)
		once := p.String()
		require.Equal(t, want, results(t, p, Options{}), "%s\n%s", text, once)
		Simplify(p)
		require.Equal(t, once, p.String())
		again := randomProgram(seed)
		Simplify(again)
		require.Equal(t, once, again.String())
		before, after = before+strings.Count(text, "\n"), after+strings.Count(once, "\n")
	}
	require.Less(t, after, before*3/4)
}

// simplified is the body of a program after Simplify, without types and columns.
func simplified(t *testing.T, build func(b *Builder, out *Param)) string {
	t.Helper()
	b := NewBuilder("k")
	build(b, b.Pointer("out", I32, Out, "", "64"))
	b.Program.Grid = "1"
	require.NoError(t, Verify(b.Program))
	Simplify(b.Program)
	require.NoError(t, Verify(b.Program))
	_, body, _ := strings.Cut(b.Program.String(), "{\n")
	var lines []string
	for _, line := range strings.Split(strings.TrimSuffix(body, "}\n"), "\n") {
		head, _, _ := strings.Cut(line, " : ")
		lines = append(lines, strings.TrimSpace(head))
	}
	return strings.Trim(strings.Join(lines, "; "), "; ")
}

func TestSimplify(t *testing.T) {
	for name, c := range map[string]struct {
		build func(b *Builder, out *Param)
		want  string
	}{
		"numbers": {func(b *Builder, out *Param) {
			b.Store(out, b.Mul(b.Int(3), b.AddI(b.Int(2), 2)), b.Int(5), nil)
		}, "%0 = int 12; %1 = int 5; store out[%0] = %1"},
		"zero and one": {func(b *Builder, out *Param) {
			b.Store(out, b.AddI(b.MulI(b.DivI(b.ProgramID(), 1), 1), 0).Named("at"), b.Int(0), nil)
		}, "%at = program_id; %0 = int 0; store out[%at] = %0"},
		"times zero": {func(b *Builder, out *Param) {
			b.Store(out, b.MulI(b.Range(D(8)), 0), b.Int(1), nil)
		}, "%0 = int 0; %1 = full %0; %2 = int 1; store out[%1] = %2"},
		"sums of numbers join": {func(b *Builder, out *Param) {
			b.Store(out, b.AddI(b.AddI(b.ProgramID(), 3), 4), b.Int(1), nil)
		}, "%0 = program_id; %1 = int 7; %2 = add %0, %1; %3 = int 1; store out[%2] = %3"},
		"equal values merge and keep a name": {func(b *Builder, out *Param) {
			x := b.AddI(b.ProgramID(), 3)
			b.Store(out, b.Mul(x, b.AddI(b.ProgramID(), 3).Named("row")), b.Int(3), nil)
		}, "%0 = program_id; %1 = int 3; %row = add %0, %1; %2 = mul %row, %row; store out[%2] = %1"},
		"a named constant stays": {func(b *Builder, out *Param) {
			k := b.IntOf(b.Const("BLOCK", 8, ""))
			b.Store(out, b.Add(k, b.Mul(k, b.Int(2))), b.IntOf(b.Const("ONE", 1, "")), nil)
		}, "%0 = int BLOCK; %1 = int 2; %2 = mul %0, %1; %3 = add %0, %2; %4 = int ONE; store out[%3] = %4"},
		"a cast there and back": {func(b *Builder, out *Param) {
			b.Store(out, b.ProgramID(), b.Cast(b.Cast(b.ProgramID(), I64), I32), nil)
		}, "%0 = program_id; store out[%0] = %0"},
		"floats stay as they are": {func(b *Builder, out *Param) {
			x := b.Cast(b.ProgramID(), F32)
			y := b.MulF(b.AddF(b.AddF(b.Sub(x, b.Float(0)), 0), 1), 1)
			b.Store(out, b.ProgramID(), b.Cast(y, I32), nil)
		}, "%0 = program_id; %1 = cast %0; %2 = float 0; %3 = add %1, %2; %4 = float 1; %5 = add %3, %4; %6 = cast %5; store out[%0] = %6"},
		"loops hand on what they change": {func(b *Builder, out *Param) {
			init := []*Value{b.ProgramID().Named("p"), b.Int(0), b.Int(5)}
			r := b.Loop("i", b.Int(0), b.Int(4), 1, init, func(i *Value, c []*Value) []*Value {
				return []*Value{c[0], b.Add(c[1], c[0]), b.AddI(c[2], 1)} // the third feeds only itself
			})
			b.Store(out, r[0], r[1], nil)
		}, "%p = program_id; %0 = int 0; %1 = int 4; %2 = loop %i = %0 to %1 step 1 with %3 = %0 {; %4 = add %3, %p; yield %4; }; store out[%p] = %2"},
		"what a loop goes on by stays": {func(b *Builder, out *Param) {
			goesOn := b.Lt(b.ProgramID(), b.Int(2)).Named("going")
			b.LoopWhile("i", b.Int(0), b.Int(4), 1, []*Value{goesOn}, func(i *Value, c []*Value) []*Value {
				b.Store(out, i, i, nil)
				return c
			})
		}, "%0 = program_id; %1 = int 2; %going = lt %0, %1; %2 = int 0; %3 = int 4; %going.1 = loop %i = %2 to %3 step 1 with %going.2 = %going while {; store out[%i] = %i; yield %going.2; }"},
		"values around a loop serve inside": {func(b *Builder, out *Param) {
			x := b.MulI(b.ProgramID(), 8)
			b.Loop("i", b.Int(0), b.Int(4), 1, nil, func(i *Value, c []*Value) []*Value {
				b.Store(out, b.Add(b.MulI(b.ProgramID(), 8), i), x, nil)
				return nil
			})
		}, "%0 = program_id; %1 = int 8; %2 = mul %0, %1; %3 = int 0; %4 = int 4; loop %i = %3 to %4 step 1 {; %5 = add %2, %i; store out[%5] = %2; }"},
		"but not the other way": {func(b *Builder, out *Param) {
			b.If(b.Eq(b.ProgramID(), b.Int(3)), func() { b.Store(out, b.Int(8), b.Int(8), nil) }, nil)
			b.Store(out, b.Int(8), b.Int(8), nil)
		}, "%0 = program_id; %1 = int 3; %2 = eq %0, %1; if %2 {; %3 = int 8; store out[%3] = %3; }; %4 = int 8; store out[%4] = %4"},
		"a known condition": {func(b *Builder, out *Param) {
			b.If(b.Lt(b.Int(3), b.Int(2)), func() { b.Store(out, b.Int(1), b.Int(8), nil) },
				func() { b.Note("the rest"); b.Store(out, b.Int(2), b.Int(2), nil) })
		}, "%0 = int 2; # the rest; store out[%0] = %0"},
		"a full tile in its final shape": {func(b *Builder, out *Param) {
			tile := b.BroadcastTo(b.Row(b.Full(b.ProgramID(), D(4))), D(2), D(4))
			b.Store(out, b.Reshape(tile, D(8)), b.Int(2), nil)
		}, "%0 = program_id; %1 = full %0; %2 = int 2; store out[%1] = %2"},
		"what nobody uses goes, its note stays": {func(b *Builder, out *Param) {
			b.Note("the offsets")
			b.AddI(b.Range(D(8)), 3)
			b.Loop("i", b.Int(0), b.Int(4), 1, []*Value{b.Int(0)}, func(i *Value, c []*Value) []*Value {
				return []*Value{b.Add(c[0], i)}
			})
			b.Store(out, b.ProgramID(), b.ProgramID(), nil)
		}, "# the offsets; %0 = program_id; store out[%0] = %0"},
		"loads stay apart": {func(b *Builder, out *Param) {
			at := b.ProgramID()
			b.Store(out, at, b.Add(b.Load(out, at, nil, 0), b.Load(out, at, nil, 0)), nil)
		}, "%0 = program_id; %1 = load out[%0]; %2 = load out[%0]; %3 = add %1, %2; store out[%0] = %3"},
	} {
		t.Run(name, func(t *testing.T) { require.Equal(t, c.want, simplified(t, c.build)) })
	}
}
