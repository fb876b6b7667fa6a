package triton

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"flagc/ir"
	"flagc/ir/tile"
	"flagc/targets"
)

// TestPositionsDecideHowEntriesAreChosen holds that programs of the way that is not taken have no instances and no room,
// and that the work of rating entries is counted once.
func TestPositionsDecideHowEntriesAreChosen(t *testing.T) {
	target, _ := targets.Find("h200")
	for model, limit := range map[string]int{"deepseek-v4-nano": 128, "deepseek-v4-flash": 4096, "deepseek-v4-pro": 4096} {
		m := lowered(t, model, target, 8, "")
		for _, f := range m.Kernels {
			tokens, ok := LongChoice(f)
			if !ok {
				continue
			}
			require.Equal(t, 4*(limit+1), tokens)
			k, err := lower(m, f, target, scheduleFor(target), 1)
			require.NoError(t, err)
			few, many := k.at(t, tokens-1), k.at(t, tokens)
			from := len(k.Programs) - 5 // one has instances for either way
			for i, p := range k.Programs {
				require.Positive(t, many.grids[i], p.Name)
				require.Equal(t, i <= from, few.grids[i] > 0, p.Name)
				k.price(p)
				require.Equal(t, f.Mode == ir.Decode && i == 0, p.Flops != "0", "%s: %s", p.Name, p.Flops)
			}
			require.Zero(t, few.room)
			require.Positive(t, many.room)
		}
	}
}

// launched is the instances of a kernel's programs, and the elements of the rooms of a choice among them.
type launched struct {
	grids []int
	room  int
}

// at is a launch after so many tokens, or with so many.
func (k *Lowered) at(t *testing.T, tokens int) launched {
	env := map[string]int{"b": 3, "s": tokens, "p": 0, "m": tokens}
	if k.Func.Mode == ir.Decode {
		env["s"], env["p"] = 1, tokens-1
	}
	value := func(text string) int {
		n, err := tile.EvalExpr(text, env)
		require.NoError(t, err)
		return n
	}
	var out launched
	for _, p := range k.Programs {
		for _, c := range p.Consts {
			env[c.Name] = c.Value
		}
		out.grids = append(out.grids, value(p.Grid))
		for _, q := range p.Params {
			if b := k.Bindings[q.Name]; b.Source == FromWork && strings.Contains(q.Name, "picked") {
				out.room += value(q.Shape[0]) * value(q.Shape[1])
			}
		}
	}
	return out
}
