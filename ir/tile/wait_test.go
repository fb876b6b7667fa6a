package tile

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"flagc/internal/diag"
)

// waiting waits in a loop of one round on one path, and in a branch on another.
const waiting = `kernel waiting
settled in w: f32[64]  # weights
in x: f32[64]
inout y: f32[64]
inout count: i32[1]
grid 2
launch warps=4 stages=1 dependents=early
{
  %pid = program_id       : i32
  %zero = int 0           : i32
  %one = int 1            : i32
  %two = int 2            : i32
  %early = load w[%pid]   : f32
  %first = eq %pid, %zero : i1
  if %first {
    loop %i = %zero to %two step 2 {
      wait
      %a = load x[%i]   : f32
      %s = add %a, %early : f32
      store y[%i] = %s
    }
  } else {
    wait
    %b = load x[%one]     : f32
    store y[%one] = %b
  }
  %old = atomic_add count[%zero], %one : i32
}
`

func TestWaitIsReadAndRun(t *testing.T) {
	p, err := Parse(waiting, "waiting.tile")
	require.NoError(t, err)
	require.NoError(t, Verify(p))
	require.True(t, p.Param("w").Settled)
	require.False(t, p.Param("x").Settled)
	require.Equal(t, strings.Join(strings.Fields(waiting), " "), strings.Join(strings.Fields(p.String()), " "))
	Simplify(p)
	require.NoError(t, Verify(p))
	count := 0
	p.Body.Walk(func(op *Op) {
		if op.Code == Wait {
			count++
		}
	})
	require.Equal(t, 2, count, "a wait is no op to be simplified away")
	y := make([]byte, 4*64)
	require.NoError(t, Interpret(p, map[string]Arg{"w": {Data: packed(F32, wave(64)...)}, "x": {Data: packed(F32, wave(64)...)},
		"y": {Data: y}, "count": {Data: make([]byte, 4)}}, Options{Seed: 1}))
	require.Equal(t, 2*wave(64)[0], unpacked(F32, y)[0])
	require.Equal(t, float64(float32(wave(64)[1])), unpacked(F32, y)[1])
}

func TestVerifyOfWaits(t *testing.T) {
	for _, c := range []struct{ label, old, new, message string }{
		{"wait1", " dependents=early", "", `"wait": there is nothing to wait for`},
		{"wait1", "    wait\n    %b", "    %b", "one branch waits and the other does not"},
		{"wait1", "  } else {\n    wait\n    %b = load x[%one]     : f32\n    store y[%one] = %b\n  }", "}", "one branch waits and the other does not"},
		{"wait1", "  %old", "wait\n  %old", `"wait": the program has waited before`},
		{"wait1", "      wait\n", "wait\nwait\n", "the program has waited before"},
		{"wait1", "step 2", "step 1", "a loop that waits must run once"},
		{"wait1", "%zero to %two", "%pid to %two", "a loop that waits must run once"},
		{"wait1", "%zero to %two", "%two to %two", "a loop that waits must run once"},
		{"wait1", "load w[%pid]", "load x[%pid]", "x is read before the wait and is not settled"},
		{"wait1", "settled in w", "in w", `"%early = load w[%pid] : f32": w is read before the wait`},
		{"wait1", "      wait\n", "store y[%i] = %early\nwait\n", "y is written before the wait"},
		{"wait1", "  if %first", "%o = atomic_add count[%zero], %one : i32\n  if %first", "count is written before the wait"},
		{"wait1", "      wait\n", "loop %j = %zero to %two step 1 {\n%q = load x[%j] : f32\n}\nwait\n", "x is read before the wait"},
		{"param1", "inout y", "settled inout y", "pointer y is settled and has access inout"},
	} {
		t.Run(c.new, func(t *testing.T) {
			require.Contains(t, waiting, c.old)
			p, err := Parse(strings.Replace(waiting, c.old, c.new, 1), "waiting.tile")
			require.NoError(t, err)
			err = Verify(p)
			require.ErrorContains(t, err, c.message)
			require.Equal(t, c.label, diag.All(err)[0].Label)
		})
	}
	without := strings.NewReplacer("      wait\n", "", "    wait\n", "", "load x[%i]", "load w[%i]", "load x[%one]", "load w[%one]").Replace(waiting)
	p, err := Parse(without, "waiting.tile")
	require.NoError(t, err)
	require.ErrorContains(t, Verify(p), "the program ends without a wait")
	_, err = Parse(strings.Replace(waiting, "settled in w: f32[64]", "settled scalar w", 1), "waiting.tile")
	require.ErrorContains(t, err, "only pointers are settled, not a scalar")
	p, err = Parse(strings.NewReplacer("early", "late").Replace(waiting), "waiting.tile")
	require.NoError(t, err)
	require.NoError(t, Verify(p))
}

// TestRunsIf finds loops that run one round or none.
func TestRunsIf(t *testing.T) {
	condition := func(rounds, step string) *Value {
		p, err := Parse(`kernel maybe
out y: f32[64]
scalar n
grid 1
launch warps=4 stages=1
{
  %zero = int 0 : i32
  %one = int 1 : i32
  %two = int 2 : i32
  %n = scalar n : i32
  %some = lt %zero, %n : i1
  %x = float 1 : f32
  %rounds = `+rounds+` : i32
  loop %i = %zero to %rounds step `+step+` {
    store y[%i] = %x
  }
}
`, "maybe.tile")
		require.NoError(t, err)
		require.NoError(t, Verify(p))
		last := p.Body.Ops[len(p.Body.Ops)-1]
		require.Nil(t, p.Body.Ops[0].RunsIf())
		return last.RunsIf()
	}
	require.Equal(t, "some", condition("where %some, %one, %zero", "1").Name)
	require.Equal(t, "some", condition("where %some, %two, %zero", "2").Name)
	require.Nil(t, condition("where %some, %two, %zero", "1"), "two rounds")
	require.Nil(t, condition("where %some, %zero, %one", "1"), "the other way round")
	require.Nil(t, condition("where %some, %two, %one", "2"), "one round or another")
	require.Nil(t, condition("where %some, %n, %zero", "1"), "as many as it takes")
	require.Nil(t, condition("add %n, %one", "1"))
}
