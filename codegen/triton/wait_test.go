package triton

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"flagc/internal/goldens"
	"flagc/ir"
	"flagc/ir/tile"
	"flagc/passes"
	"flagc/targets"
)

// settledProgram is a program that reads settled w and unsettled x.
func settledProgram(t *testing.T, body string) *tile.Program {
	t.Helper()
	p, err := tile.Parse(`kernel settled
settled in w: bf16[4096]
settled in i: i32[4096]
in x: bf16[4096]
out y: bf16[4096]
scalar n
grid 2
launch warps=4 stages=1 dependents=early
{
  %pid = program_id : i32
  %zero = int 0 : i32
  %width = int 64 : i32
  %first = mul %pid, %width : i32
  %lane = range : i32[64]
`+body+"}\n", "settled.tile")
	require.NoError(t, err)
	return p
}

// placed is the text of a program's body once it waits, and holds the program against the rules of waits.
func placed(t *testing.T, body string, held int) string {
	t.Helper()
	p := settledProgram(t, body)
	w := &waits{ready: map[*tile.Value]bool{}, is: map[*tile.Value]*tile.Value{}}
	w.place(p.Body, held)
	require.NoError(t, tile.Verify(p), p)
	_, text, _ := strings.Cut(p.String(), "{\n")
	var lines []string
	for _, line := range strings.Split(text, "\n") {
		line, _, _ = strings.Cut(strings.TrimSpace(line), " : ")
		lines = append(lines, strings.TrimSpace(line))
	}
	return strings.Join(lines, "\n")
}

const plain = `  %at = add %first, %lane : i32[64]
  %a = load x[%at] : bf16[64]
  %b = load w[%lane] : bf16[64]
  store y[%at] = %a
  store y[%lane] = %b
`

func TestSettledLoadsGoAheadOfTheWait(t *testing.T) {
	text := placed(t, plain, 128)
	require.Contains(t, text, "%lane = range\n%b = load w[%lane]\nwait\n%pid = program_id\n")
	require.True(t, strings.HasPrefix(placed(t, plain, 127), "wait\n"), "more bytes than may be held")
	two := strings.Replace(plain, "load x[%at]", "load w[%at]", 1)
	text = placed(t, two, 200)
	require.Contains(t, text, "%a = load w[%at]\nwait\n%zero = int 0\n%b = load w[%lane]", "the first that fits")
}

func TestLoopsOfOneRoundAreEntered(t *testing.T) {
	body := `  %some = int 128 : i32
  %x0 = load x[%lane] : bf16[64]
  %r = loop %k = %zero to %width step STEP with %c = %x0 {
    %at = add %k, %lane : i32[64]
    %v = load x[%at] : bf16[64]
    %m = load w[%at] : bf16[64]
    store y[%at] = %v
    yield %m
  }
  store y[%lane] = %r
`
	text := placed(t, strings.Replace(body, "STEP", "64", 1), 1<<16)
	require.Contains(t, text, "%at = add %zero, %lane\n%m = load w[%at]\nwait\n", "the counter is a number outside")
	require.Contains(t, text, "{\n%v = load x[%at]\nstore y[%at] = %v\nyield %m\n}")
	require.True(t, strings.HasPrefix(placed(t, strings.Replace(body, "STEP", "32", 1), 1<<16), "wait\n"), "two rounds")
	second := body + `  %j = load w[%lane] : bf16[64]
  store y[%lane] = %j
`
	require.NotContains(t, placed(t, strings.Replace(second, "STEP", "64", 1), 1<<16), "%j = load w[%lane]\nwait", "there is a store before")
}

// TestLoadsThroughLoopsThatRunOnce follows what a loop carries in and hands on.
func TestLoadsThroughLoopsThatRunOnce(t *testing.T) {
	text := placed(t, `  %r = loop %k = %zero to %width step 64 with %c = %lane {
    %d = add %c, %k : i32[64]
    %e = load i[%d] : i32[64]
    yield %e
  }
  %b = load w[%r] : bf16[64]
  store y[%lane] = %b
`, 1<<16)
	require.Contains(t, text, "%d = add %lane, %zero\n%e = load i[%d]\n%b = load w[%e]\nwait\n")
}

func TestWaitsGoIntoBranches(t *testing.T) {
	body := `  %n = scalar n : i32
  %few = lt %pid, %n : i1
  if %few {
    %a = load x[%lane] : bf16[64]
    store y[%lane] = %a
  } else {
    %b = load w[%lane] : bf16[64]
    store y[%lane] = %b
  }
`
	text := placed(t, body, 1<<16)
	require.Contains(t, text, "if %few {\nwait\n%a = load x[%lane]")
	require.Contains(t, text, "} else {\n%b = load w[%lane]\nwait\n")
	require.True(t, strings.HasPrefix(placed(t, strings.Replace(body, "load w[", "load x[", 1), 1<<16), "wait\n"), "no branch gains")
	require.True(t, strings.HasPrefix(placed(t, strings.Replace(body, "if %few", "%u = load x[%zero] : bf16\n if %few", 1), 1<<16), "wait\n"),
		"what is before the branches has to wait itself")
	alone := body[:strings.Index(body, "  } else")] + "  }\n"
	text = placed(t, strings.Replace(alone, "load x[", "load w[", 1), 1<<16)
	require.Contains(t, text, "%a = load w[%lane]\nwait\n")
	require.Contains(t, text, "} else {\nwait\n}")
	nested := strings.Replace(body, "} else {", "} else {\n %c = eq %pid, %zero : i1\n if %c {\n store y[%zero] = %q\n } else {", 1)
	nested = strings.Replace(nested, "store y[%zero] = %q", "%q = load x[%zero] : bf16\n store y[%zero] = %q", 1) + "  }\n"
	require.Equal(t, 3, strings.Count(placed(t, nested, 1<<16), "wait\n"))
}

// TestLoadsOfLoopsThatMayNotRun: what a loop of one round or none loads goes ahead as a load that reads nothing where the loop
// does not run; what it computes and carries stays.
func TestLoadsOfLoopsThatMayNotRun(t *testing.T) {
	body := `  %one = int 1 : i32
  %j = load i[%pid] : i32
  %some = lt %j, %width : i1
  %rounds = where %some, %one, %zero : i32
  %none = load x[%lane] : bf16[64]
  %sum = loop %once = %zero to %rounds step 1 with %c = %none {
    %at = add %j, %lane : i32[64]
    %b = load w[%at] MASK : bf16[64]
    %y = load x[%at] : bf16[64]
    %z = where %some, %b, %y : bf16[64]
    yield %z
  }
  store y[%lane] = %sum
`
	text := placed(t, strings.Replace(body, "MASK", "", 1), 1<<16)
	require.Contains(t, text, "%at = add %j, %lane\n%b = load w[%at] if %some else 0\nwait\n")
	require.Contains(t, text, "{\n%y = load x[%at]\n%z = where %some, %b, %y\nyield %z\n}")

	live := "  %live = lt %lane, %width : i1[64]\n" + strings.Replace(body, "MASK", "if %live else 0", 1)
	text = placed(t, live, 1<<16)
	require.Contains(t, text, "%both = and %some, %live\n%b = load w[%at] if %both else 0\nwait\n", "a mask of its own holds as well")

	unknown := strings.Replace(strings.Replace(body, "MASK", "", 1), "load i[%pid]", "load x[%pid]", 1)
	unknown = strings.Replace(unknown, "%j = load x[%pid] : i32", "%q = load x[%pid] : bf16\n  %f = cast %q : f32\n  %j = cast %f : i32", 1)
	require.True(t, strings.HasPrefix(placed(t, unknown, 1<<16), "wait\n"), "whether it runs is not known before the wait")

	many := strings.Replace(strings.Replace(body, "MASK", "", 1), "%one = int 1", "%one = int 2", 1)
	require.NotContains(t, placed(t, many, 1<<16), "%b = load w[%at] if %some else 0\nwait\n", "two rounds")
}

// TestLoopsBehindTheWaitBeginWithWhatIsKnown: bounds and carried values that follow from what is loaded ahead are there, too.
func TestLoopsBehindTheWaitBeginWithWhatIsKnown(t *testing.T) {
	body := `  %many = load i[%pid] : i32
  %rounds = add %many, %zero : i32
  %start = load x[%lane] : bf16[64]
  %r = loop %k = %zero to %rounds step 1 with %c = %start {
    %at = add %k, %lane : i32[64]
    %b = load x[%at] : bf16[64]
    yield %b
  }
  store y[%lane] = %r
`
	require.Contains(t, placed(t, body, 1<<16), "%many = load i[%pid]\n%rounds = add %many, %zero\nwait\n")
	require.True(t, strings.HasPrefix(placed(t, body, 3), "wait\n"), "not of what is loaded behind it")
}

// TestChosenWeightsComeAhead: a rank's first chosen expert of w2 in FP8 or FP4 is on its way while the launch before still weighs what
// it is multiplied with; FP4 codes are carried by the loop over slots. What streams more than is good for launches that begin
// early waits.
func TestChosenWeightsComeAhead(t *testing.T) {
	target, ok := targets.Find("h200")
	require.True(t, ok)
	for policy, ahead := range map[targets.Policy]bool{targets.PolicyFP8: true, targets.PolicyW4A8: true, targets.PolicyW4A16: true, targets.PolicyBF16: false} {
		b, err := NewBuild(lowered(t, "deepseek-v4-flash", target, 8, policy), target)
		require.NoError(t, err)
		found := 0
		for _, k := range b.Kernels {
			p := k.Programs[len(k.Programs)-1]
			if !strings.HasPrefix(p.Name, "experts_w2") || k.Func.Mode != ir.Decode {
				continue
			}
			found++
			text := string(Print(p))
			before, _, _ := strings.Cut(text, "sum = tl.zeros(")
			before = before[:strings.LastIndex(before, "gdc_wait()")]
			require.Equal(t, policy != targets.PolicyBF16, strings.Contains(before, "tl.load(chosen"), "%s of %s", p.Name, policy)
			require.Equal(t, ahead, strings.Contains(before, "tl.load(w2 + "), "%s of %s", p.Name, policy)
			turns := text[strings.Index(text, "for turn in range("):]
			carried := strings.Index(turns, "word = tl.load(w2 + ") > strings.Index(turns, "sum += ")
			require.Equal(t, policy == targets.PolicyW4A8 || policy == targets.PolicyW4A16, carried, "%s of %s", p.Name, policy)
			require.Equal(t, policy != targets.PolicyBF16, p.Launch.Dependents == tile.EarlyDependents, "%s of %s", p.Name, policy)
		}
		require.Equal(t, 2, found, policy)
	}
}

// TestWeightsOfSeveralRoundsStay: of 1536 columns a product takes 512 in each round of its loop, so nothing of it can come ahead,
// and the first expert gets no product of its own.
func TestWeightsOfSeveralRoundsStay(t *testing.T) {
	target, ok := targets.Find("h200")
	require.True(t, ok)
	config := goldens.Edited(t, "deepseek-v4-flash", func(keys map[string]any) { keys["moe_intermediate_size"] = 1536 })
	m := through(t, goldens.Elaborate(t, config, nil), passes.Options{Target: target, TP: 8, Precision: targets.PolicyFP8})
	b, err := NewBuild(m, target)
	require.NoError(t, err)
	found := 0
	for _, p := range b.Programs() {
		if strings.HasPrefix(p.Name, "experts_w2") && strings.HasSuffix(p.Name, "decode_2") {
			found++
			require.Contains(t, string(Print(p)), "for k in range(0, 1536, 512):", p.Name)
			require.NotContains(t, string(Print(p)), "for once in range(", p.Name)
		}
	}
	require.Equal(t, 2, found)
}

// TestWaitsArePrintedWhereTheyStand: a load that is part of a larger expression elsewhere stays ahead of the wait.
func TestWaitsArePrintedWhereTheyStand(t *testing.T) {
	p := settledProgram(t, `  wait
  %0 = load w[%lane] : bf16[64]
  store y[%lane] = %0
`)
	ops := p.Body.Ops
	i := len(ops) - 3
	ops[i], ops[i+1] = ops[i+1], ops[i]
	require.NoError(t, tile.Verify(p))
	require.Contains(t, string(Print(p)), `
    lane = tl.arange(0, 64)
    y_tile = tl.load(w + lane)

    # The launch before has ended; the next may begin and wait for this one.
    tl.extra.cuda.gdc_wait()
    tl.extra.cuda.gdc_launch_dependents()
    tl.store(y + lane, y_tile)
`)
	p.Launch.Dependents = tile.LateDependents
	text := string(Print(p))
	require.Contains(t, text, "# The launch before has ended; the next begins as this one ends.\n    tl.extra.cuda.gdc_wait()\n    tl.store")
	require.Contains(t, string(Print(rewritten(p, nil))), "gdc_wait()", "copies wait too")
}

// TestSettledParameters asks which parameters of the programs of a launch may be read before the wait.
func TestSettledParameters(t *testing.T) {
	state := &ir.Value{Kind: ir.StateValue, Name: "cache"}
	k := &Lowered{Bindings: map[string]Binding{
		"w": {Source: FromValue, Value: &ir.Value{Kind: ir.WeightValue}}, "w_scale": {Source: FromScales, Value: &ir.Value{Kind: ir.WeightValue}},
		"rope": {Source: FromRope}, "x": {Source: FromValue, Value: &ir.Value{Kind: ir.ParamValue, Name: "x"}},
		"cache": {Source: FromValue, Value: state}, "also": {Source: FromValue, Value: state},
		"parts": {Source: FromWork}, "b": {Source: FromSize, Symbol: "b"}, "p": {Source: FromSize, Symbol: "p"},
	}}
	program := func(grid string, pointers map[string]tile.Access) *tile.Program {
		p := &tile.Program{Grid: grid, Params: []*tile.Param{{Name: "b"}, {Name: "p"}}}
		for name, access := range pointers {
			p.Params = append(p.Params, &tile.Param{Name: name, Pointer: true, Access: access})
		}
		return p
	}
	reads := map[string]tile.Access{"w": tile.In, "w_scale": tile.In, "rope": tile.In, "x": tile.In, "cache": tile.In, "parts": tile.InOut}
	settled := func(i int) (names []string) {
		for _, name := range []string{"w", "w_scale", "rope", "x", "cache", "parts", "b"} {
			if q := k.Programs[i].Param(name); k.settled(i, q) {
				names = append(names, name)
			}
		}
		return names
	}
	always := []string{"w", "w_scale", "rope"}
	k.Programs = []*tile.Program{program("b * 32", reads), program("b", reads)}
	require.Equal(t, always, settled(0), "who wrote the rest is not known")
	require.Equal(t, append(always, "x", "cache"), settled(1))
	k.Programs[0] = program("b", map[string]tile.Access{"x": tile.Out})
	require.Equal(t, append(always, "cache"), settled(1))
	k.Programs[0] = program("b", map[string]tile.Access{"also": tile.InOut})
	require.Equal(t, append(always, "x"), settled(1), "a state has many names")
	k.Programs[0] = program("b * (p // 64)", nil)
	require.Equal(t, always, settled(1), "without instances there is no launch between")
	k.Programs[0] = program("b * (p // 64) + b", nil)
	require.Equal(t, append(always, "x", "cache"), settled(1))

	wrote := program("b", map[string]tile.Access{"x": tile.Out})
	k.Programs = []*tile.Program{wrote, program("b", nil), program("b", reads)}
	require.Equal(t, append(always, "x", "cache"), settled(2), "the program before the last has ended")
	k.Programs[1] = program("b * (1 - min(1, p))", nil)
	require.Equal(t, append(always, "cache"), settled(2), "which may be the one before")
}
