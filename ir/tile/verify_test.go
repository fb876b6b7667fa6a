package tile

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"flagc/internal/diag"
)

// small uses every op but wait once; the cases below break it.
const small = `# Everything at once.
#
# Shapes: x[s, K]
kernel small from "model.flag:12"
const K = 64          # depth
const BLOCK = 16      # rows and columns
in x: bf16[s, K]      # the rows
in w: bf16[BLOCK, K]
inout count: i32[1]   # how many are done
out y: f32[s * BLOCK]
scalar s              # rows
grid (s + BLOCK - 1) // BLOCK
launch warps=4 stages=2
bytes s * K * 2
flops 2 * s * BLOCK * K
{
  # where the rows are
  %pid = program_id                : i32
  %s = scalar s                    : i32
  %block = int BLOCK               : i32
  %zero = int 0                    : i32
  %first = mul %pid, %block        : i32
  %lane = range                    : i32[BLOCK=16]
  %rows = add %first, %lane        : i32[BLOCK=16]
  %ok = lt %rows, %s               : i1[BLOCK=16]
  %col = expand %rows {axis=1}     : i32[BLOCK=16, 1]
  %also = expand %ok {axis=1}      : i1[BLOCK=16, 1]
  %f = float 0                     : f32
  %start = full %f                 : f32[BLOCK=16, BLOCK=16]
  %k = int K                       : i32
  %acc = loop %i = %zero to %k step 16 with %acc.1 = %start {
    %depth = add %i, %lane                  : i32[BLOCK=16]
    %0 = mul %col, %k                       : i32[BLOCK=16, 1]
    %1 = expand %depth {axis=0}             : i32[1, BLOCK=16]
    %at = add %0, %1                        : i32[BLOCK=16, BLOCK=16]
    %mask = broadcast %also                 : i1[BLOCK=16, BLOCK=16]
    %a = load x[%at] if %mask else 0        : bf16[BLOCK=16, BLOCK=16]
    %b = load w[%at] if %mask else -inf     : bf16[BLOCK=16, BLOCK=16]
    %t = transpose %b {perm=[1, 0]}         : bf16[BLOCK=16, BLOCK=16]
    %sum = dot %a, %t, %acc.1               : f32[BLOCK=16, BLOCK=16]
    yield %sum
  }
  %top = max %acc {axis=1}         : f32[BLOCK=16]
  %e = exp %top                    : f32[BLOCK=16]
  %c = where %ok, %e, %f           : f32[BLOCK=16]
  %h = cast %c                     : f16[BLOCK=16]
  %bits = bitcast %c               : i32[BLOCK=16]
  %flat = reshape %acc             : f32[256]
  store y[%rows] = %c if %ok
  barrier
  %one = int 1                     : i32
  %old = atomic_add count[%zero], %one : i32
  %last = eq %old, %zero           : i1
  # the first only
  if %last {
    store y[%zero] = %f
  } else {
    store y[%one] = %f
  }
}
`

func TestTextRoundTrips(t *testing.T) {
	p, err := Parse(small, "small.tile")
	require.NoError(t, err)
	require.NoError(t, Verify(p))
	text := p.String()
	require.Equal(t, strings.Join(strings.Fields(small), " "), strings.Join(strings.Fields(text), " "))
	again, err := Parse(text, "small.tile")
	require.NoError(t, err)
	require.Equal(t, text, again.String())
	require.Equal(t, "Everything at once.\n\nShapes: x[s, K]", p.Doc)
	require.Equal(t, "model.flag:12", p.Source)
	require.Equal(t, []string{"s * BLOCK"}, p.Param("y").Shape)
	require.Equal(t, "how many are done", p.Param("count").Doc)
	require.Equal(t, Launch{Warps: 4, Stages: 2}, p.Launch)
	require.Equal(t, "where the rows are", p.Body.Ops[0].Note)
}

// breaches name, for each rule, texts that parse and must not verify.
var breaches = []struct{ label, old, new, message string }{
	{"name1", "kernel small", "kernel lambda", "the kernel is named lambda, which is a word of Python"},
	{"name1", "scalar s ", "scalar min\nscalar s ", "a parameter is named min"},
	{"name1", "%flat =", "%for =", `"%for = reshape %acc : f32[256]": a value is named for`},
	{"expr1", "grid (s + BLOCK", "grid (t + BLOCK", `grid: "(t + BLOCK - 1) // BLOCK" uses t, which is no constant and no scalar (of BLOCK, K, s)`},
	{"expr1", "bytes s * K", "bytes x * K", "uses x"},
	{"expr1", "bf16[s, K]", "bf16[s, k]", "extent of x: \"k\" uses k"},
	{"param1", "in x: bf16", "in x: i1", "pointer x is to i1, which has no format in memory"},
	{"param1", "out y", "in y", `"store y[%rows] = %c if %ok": y is declared as in and is stored to`},
	{"param1", "inout count", "out count", "count is declared as out, and an atomic_add reads and writes it"},
	{"param1", "%s = scalar s", "%s = scalar x", `"%s = scalar x : i32": x is a pointer`},
	{"param1", "load x[%at]", "load s[%at]", "s is a scalar"},
	{"form1", "warps=4", "warps=3", "3 warps: expected a power of two"},
	{"form1", "stages=2", "stages=0", "0 stages"},
	{"type1", "%pid = program_id                : i32", "%pid = program_id : i64", "the result is i64, expected i32"},
	{"type1", "mul %col, %k", "mul %col, %f", "mul of i32 and f32, expected one format"},
	{"type1", "exp %top", "exp %lane", `"%e = exp %lane : f32[BLOCK=16]": exp of i32, expected f32`},
	{"type1", "%sum = dot %a, %t, %acc.1", "%sum = add %a, %t", "add of bf16, expected f32, i32 or i64"},
	{"type1", "%e = exp %top", "%e = not %top", "not of f32, expected i1"},
	{"type1", "%e = exp %top", "%e = mod %top, %top", "mod of f32, expected i32 or i64"},
	{"type1", "%e = exp %top", "%e = and %top, %top", "and of f32, expected i1, i32 or i64"},
	{"type1", "%e = exp %top", "%e = sum %ok {axis=0}", "sum of i1"},
	{"type1", "where %ok, %e", "where %lane, %e", "the condition is i32, expected i1"},
	{"type1", "%h = cast %c                     : f16", "%h = cast %lane : f16", "a cast of i32 to f16: go by way of f32 and i32"},
	{"type1", "%h = cast %c                     : f16", "%h = cast %c : i1", "a cast of f32 to i1: compare with zero instead"},
	{"type1", "%bits = bitcast %c               : i32", "%bits = bitcast %c : i64", "the bits of f32 are not those of i64"},
	{"type1", "dot %a, %t, %acc.1", "dot %a, %acc.1, %acc.1", "dot of bf16 and f32, expected one float format"},
	{"type1", "load x[%at] if %mask", "load x[%acc.1] if %mask", "the offset is f32, expected i32 or i64"},
	{"type1", "load x[%at] if %mask", "load x[%at] if %at", "the mask is i32, expected i1"},
	{"type1", "store y[%rows] = %c", "store y[%rows] = %h", "f16 is stored to a pointer to f32"},
	{"type1", "%a = load x[%at] if %mask else 0        : bf16", "%a = load count[%at] if %mask else 0.5 : i32", "masked lanes hold 0.5, which is no i32"},
	{"type1", "%one = int 1 ", "%one = int 2147483648 ", "2147483648 does not fit i32"},
	{"type1", "%f = float 0 ", "%f = float 1e39 ", "1e+39 does not fit f32"},
	{"type1", "atomic_add count[%zero], %one", "atomic_add y[%zero], %one", "an atomic_add of i32 to f32"},
	{"type1", "if %last {", "if %zero {", `"if %zero": the condition is i32, expected i1`},
	{"shape1", "i32[BLOCK=16]\n  %rows", "i32[BLOCK=32]\n  %rows", "extent BLOCK=32 is named after a constant that is 16"},
	{"shape1", "i32[BLOCK=16]\n  %rows", "i32[SIZE=16]\n  %rows", "extent SIZE=16 is named after a constant that is not declared"},
	{"shape1", "%flat = reshape %acc             : f32[256]", "%flat = reshape %acc : f32[255]", "extent 255 is no power of two"},
	{"shape1", "%flat = reshape %acc             : f32[256]", "%flat = reshape %acc : f32[512]", "256 elements become 512"},
	{"shape1", "%flat = reshape %acc             : f32[256]", "%flat = full %f : f32[2048, 1024]", "more than 1048576 elements"},
	{"shape1", "%start = full %f                 : f32[BLOCK=16, BLOCK=16]", "%start = full %lane : i32[BLOCK=16, BLOCK=16]", "a tile of [16] where a scalar is expected"},
	{"shape1", "expand %rows {axis=1}", "expand %rows {axis=2}", "axis 2 of 2"},
	{"shape1", "expand %rows {axis=1}", "expand %rows {axis=0}", "the result has extents [16 1], expected [1 16]"},
	{"shape1", "max %acc {axis=1}", "max %acc {axis=-1}", "axis -1 of 2"},
	{"shape1", "perm=[1, 0]", "perm=[1, 1]", "[1 1] orders no 2 axes"},
	{"shape1", "perm=[1, 0]", "perm=[0]", "[0] orders no 2 axes"},
	{"shape1", "broadcast %also ", "broadcast %ok ", "extents [16] do not repeat to [16 16]"},
	{"shape1", "add %0, %1 ", "add %lane, %1 ", "shapes do not go together: 1 axes and 2"},
	{"shape1", "dot %a, %t, %acc.1", "dot %a, %t, %f", "[16 16] times [16 16] plus [], expected [M, K], [K, N] and [M, N]"},
	{"shape1", "store y[%rows] = %c if %ok", "store y[%rows] = %acc if %also", "shapes do not go together"},
	{"shape1", "store y[%zero] = %f", "store y[%zero] = %c", "[16] lanes are stored to offsets []"},
	{"shape1", "if %last {", "if %ok {", "a tile of [16] where a scalar is expected"},
	{"loop1", "step 16", "step 0", "step 0: a loop counts upwards"},
	{"loop1", "%zero to %k step", "%lane to %k step", "%lane is i32[BLOCK=16], expected i32"},
	{"loop1", "with %acc.1 = %start {", "with %acc.1 = %start while {", "the first value that the loop carries says whether it goes on, and must be i1"},
	{"loop1", "yield %sum", "yield %a", "%a is bf16[BLOCK=16, BLOCK=16], and the value that it becomes is f32"},
}

func TestVerifyNamesTheBrokenRule(t *testing.T) {
	for _, b := range breaches {
		t.Run(b.label+" "+b.new, func(t *testing.T) {
			require.Contains(t, small, b.old)
			p, err := Parse(strings.Replace(small, b.old, b.new, 1), "small.tile")
			require.NoError(t, err)
			err = Verify(p)
			require.ErrorContains(t, err, b.message)
			var labels []string
			for _, d := range diag.All(err) {
				labels = append(labels, d.Label)
			}
			require.Contains(t, labels, b.label)
		})
	}
}

// TestVerifyOfWhatTextCannotSay breaks the structure itself.
func TestVerifyOfWhatTextCannotSay(t *testing.T) {
	for want, edit := range map[string]func(p *Program){
		"there is no body":                                            func(p *Program) { p.Body = nil },
		"there is an op without a meaning":                            func(p *Program) { p.Body.Ops[0].Code = 99 },
		"add takes 2 operands, not 1":                                 func(p *Program) { p.Body.Ops[6].Args = p.Body.Ops[6].Args[:1] },
		"operand 1 is missing":                                        func(p *Program) { p.Body.Ops[6].Args[1] = nil },
		"add yields 1 values, not 0":                                  func(p *Program) { p.Body.Ops[6].Results = nil },
		"result 0 is missing":                                         func(p *Program) { p.Body.Ops[6].Results[0] = nil },
		"%pid is used where it is not defined":                        func(p *Program) { p.Body.Ops = append(p.Body.Ops[1:], p.Body.Ops[0]) },
		"%lane is defined twice":                                      func(p *Program) { p.Body.Ops = append(p.Body.Ops, p.Body.Ops[5]) },
		"names another op as the one that defines it":                 func(p *Program) { p.Body.Ops[2].Results[0].Def = nil },
		"%first has no known format, but DType(77)":                   func(p *Program) { p.Body.Ops[4].Results[0].DType = 77 },
		"mul has blocks that are not its own":                         func(p *Program) { p.Body.Ops[4].Body = &Block{} },
		"loop has blocks that are not its own, or lacks":              func(p *Program) { p.Body.Ops[13].Body = nil },
		"a block stands in two places":                                func(p *Program) { last := p.Body.Ops[len(p.Body.Ops)-1]; last.Else = last.Body },
		"a branch takes and yields nothing":                           func(p *Program) { last := p.Body.Ops[len(p.Body.Ops)-1]; last.Body.Yield = last.Args },
		"1 values go in, the body takes a counter and 1 and yields 0": func(p *Program) { p.Body.Ops[13].Body.Yield = nil },
		"other is not a parameter of the program":                     func(p *Program) { p.Body.Ops[1].Param = &Param{Name: "other"} },
		"constant BLOCK is not declared, or not as 17":                func(p *Program) { p.Body.Ops[2].Int = 17 },
		"y is declared twice":                                         func(p *Program) { p.Params[1].Name = "y" },
		"a constant is named \"2x\", expected an identifier":          func(p *Program) { p.Consts[0].Name = "2x" },
		`pointer x has access "rw"`:                                   func(p *Program) { p.Params[0].Access = "rw" },
		"scalar s is f32, expected i32":                               func(p *Program) { p.Param("s").DType = F32 },
		"the body takes and yields nothing":                           func(p *Program) { p.Body.Yield = p.Body.Ops[0].Results },
	} {
		p, err := Parse(small, "small.tile")
		require.NoError(t, err)
		edit(p)
		require.ErrorContains(t, Verify(p), want)
	}
}

func TestVerifyReportsAll(t *testing.T) {
	text := strings.NewReplacer("exp %top", "exp %lane", "warps=4", "warps=5", "step 16", "step 0").Replace(small)
	p, err := Parse(text, "small.tile")
	require.NoError(t, err)
	require.Len(t, diag.All(Verify(p)), 3)
}

// TestRegistersOfALaunch holds that how many registers a thread may have stays through text, within what there are.
func TestRegistersOfALaunch(t *testing.T) {
	with := func(registers string) *Program {
		p, err := Parse(strings.Replace(small, "stages=2", "stages=2 registers="+registers, 1), "small.tile")
		require.NoError(t, err)
		return p
	}
	p := with("128")
	require.NoError(t, Verify(p))
	require.Equal(t, Launch{Warps: 4, Stages: 2, Registers: 128}, p.Launch)
	require.Contains(t, p.String(), "launch warps=4 stages=2 registers=128\n")
	require.ErrorContains(t, Verify(with("256")), "256 registers: expected 16 to 255, or none")
	require.ErrorContains(t, Verify(with("8")), "8 registers")
}

func TestParseSaysWhereAndWhat(t *testing.T) {
	for _, c := range []struct{ old, new, want string }{
		{"kernel small", "kernle small", `small.tile:4:1: expected "kernel", found "kernle"`},
		{"kernel small", "kernel 7", `small.tile:4:8: expected the kernel's name, found "7"`},
		{`"model.flag:12"`, "model", `expected where the kernel comes from, in quotes, found "model"`},
		{"const K = 64 ", "const K = x ", `small.tile:5:11: expected the constant's value, found "x"`},
		{"const BLOCK", "const K", "small.tile:6:7: K is declared twice"},
		{"in x: bf16", "in x: bf61", "small.tile:7:7: bf61 is no number format (did you mean bf16?)"},
		{"bf16[s, K]", "bf16[s, K", "the extents lack a closing bracket"},
		{"bf16[s, K]", "bf16[s, ]", "expected a number, a name"},
		{"grid (s", "grid ((s", `expected ")"`},
		{"grid (s + BLOCK - 1) // BLOCK\n", "", `small.tile:12:1: expected "grid", found "launch"`},
		{"warps=4", "warps=99999999999", "small.tile:13:14: 99999999999 is out of range"},
		{"%pid = program_id ", "%pid = programid ", "small.tile:18:10: there is no op programid (did you mean program_id?)"},
		{"%pid = program_id                : i32", "%pid = program_id", `small.tile:18:20: expected ":", found the end of the line`},
		{"mul %pid, %block", "mul %pid", "small.tile:22:12: mul takes 2 operands, found 1"},
		{"mul %pid, %block", "mul %pdi, %block", "small.tile:22:16: %pdi is not defined here (did you mean %pid?)"},
		{"%s = scalar s ", "%pid = scalar s ", "small.tile:19:3: %pid is defined twice"},
		{"%s = scalar s ", "%s = scalar t ", "there is no parameter t"},
		{"%s = scalar s ", "%s, %t = scalar s ", "scalar yields one value"},
		{"%s = scalar s ", "%1s = scalar s ", "%1s is neither a number nor a name"},
		{"int BLOCK ", "int BLOKC ", "there is no constant BLOKC (did you mean BLOCK?)"},
		{"float 0 ", "float zero ", `expected a number, found "zero"`},
		{"f32[BLOCK=16, BLOCK=16]\n  %k", "f32[BLOCK=16, BLOCK]\n  %k", `expected "=", found "]"`},
		{"f32[BLOCK=16, BLOCK=16]\n  %k", "f32[0]\n  %k", "between 1 and 2147483647"},
		{"{axis=1}", "{axes=1}", `expected "axis", found "axes"`},
		{"store y[%rows]", "%q = store y[%rows]", "store yields nothing"},
		{"%e = exp", "exp", "exp yields a value"},
		{"  %acc = loop", "  loop", "the loop carries 1 and yields 0"},
		{"    yield %sum\n", "", "the loop carries 1 values, its body yields 0"},
		{"%top = max %acc {", "%top = max %sum {", "%sum is not defined here"},
		{"    store y[%one] = %f\n  }\n}\n", "    store y[%one] = %f\n", `expected "}", found the end of the text`},
		{"  barrier\n", "  yield %acc\n", `expected an op or "}", found "yield"`},
		{"  } else {", "  yield %f\n } else {", `a branch yields nothing`},
		{"store y[%one] = %f\n  }\n}\n", "store y[%one] = %f\n  }\n}\nkernel", `expected the end of the text, found "kernel"`},
		{"  barrier\n", strings.Repeat("if %last {\n", 100), "blocks are nested deeper than 64"},
		{"  barrier\n", "  barrier barrier\n", `expected the end of the line, found "barrier"`},
	} {
		t.Run(c.new, func(t *testing.T) {
			require.Contains(t, small, c.old)
			text := strings.Replace(small, c.old, c.new, 1)
			if strings.Contains(c.new, "if %last") { // there must be such a value by then
				text = strings.Replace(text, "  store y[%rows] = %c if %ok\n", "%last = eq %zero, %zero : i1\n", 1)
			}
			_, err := Parse(text, "small.tile")
			require.ErrorContains(t, err, c.want)
		})
	}
	_, err := Parse(strings.Repeat(" ", maxText+1), "")
	require.ErrorContains(t, err, "is longer than")
	_, err = Parse("", "empty.tile")
	require.ErrorContains(t, err, `empty.tile:1:1: expected "kernel", found the end of the text`)
}

func FuzzParse(f *testing.F) {
	f.Add(small)
	f.Add(waiting)
	f.Add(rowNorm(128).String())
	f.Add(randomProgram(1).String())
	f.Fuzz(func(t *testing.T, text string) {
		p, err := Parse(text, "fuzz.tile")
		if err != nil {
			return
		}
		once := p.String()
		again, err := Parse(once, "fuzz.tile")
		require.NoError(t, err, once)
		require.Equal(t, once, again.String())
		if Verify(p) != nil {
			return
		}
		require.NoError(t, Verify(again))
		Simplify(p)
		require.NoError(t, Verify(p))
	})
}
