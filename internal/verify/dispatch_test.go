package verify

import (
	"encoding/binary"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"

	"flagc/codegen/triton"
	"flagc/ir"
	"flagc/ir/eval"
	"flagc/ir/ops"
	"flagc/ir/roles"
	"flagc/ir/tile"
)

// dispatchLists are lists of chosen experts: of a token's slot the expert among all, of which a rank has local from first on.
var dispatchLists = []struct {
	name   string
	tokens int
	choose func(r *rand.Rand, slot, all, first, local int) int
}{
	{"random", 33, func(r *rand.Rand, _, all, _, _ int) int { return r.IntN(all) }},
	{"one token", 1, func(r *rand.Rand, _, all, _, _ int) int { return r.IntN(all) }},
	{"a long prompt", 4096, func(r *rand.Rand, _, all, _, _ int) int { return r.IntN(all) }},
	{"all of the rank", 500, func(r *rand.Rand, _, _, first, local int) int { return first + r.IntN(local) }},
	{"one expert for all", 131, func(_ *rand.Rand, _, _, first, _ int) int { return first + 3 }},
	{"two, block by block", 128, func(_ *rand.Rand, slot, _, first, _ int) int { return first + slot/64%2 }},
	{"none of the rank", 65, func(_ *rand.Rand, slot, all, first, local int) int { return (first + local + slot) % all }},
	{"none at all", 40, func(r *rand.Rand, _, all, _, _ int) int { return []int{-1, all, 1 << 30}[r.IntN(3)] }},
}

// TestSlotsAreSorted holds the tables that the sorting programs of a launch leave against ones made by hand, at the sizes of
// Flash on eight ranks.
func TestSlotsAreSorted(t *testing.T) {
	for _, machine := range []string{"h200", "ascend-910b-64g"} {
		m, target := lowered(t, "deepseek-v4-flash", machine, 8, "")
		const rank, slots, all, local = 5, 6, 256, 32
		for _, f := range m.Kernels {
			if f.FullName() != "experts_w2.prefill" {
				continue
			}
			k, _, err := Programs(m, f, target, Bounds)
			require.NoError(t, err)
			for _, list := range dispatchLists {
				t.Run(machine+"/"+list.name, func(t *testing.T) {
					r := rand.New(rand.NewPCG(1, 2))
					chosen := make([]int32, list.tokens*slots)
					for i := range chosen {
						chosen[i] = int32(list.choose(r, i, all, rank*local, local))
					}
					args := sortingArgs(t, k, ir.Env{"b": 1, "s": list.tokens, "p": 0, "m": list.tokens}, rank*local, chosen)
					for _, p := range k.Programs[:2] {
						mine := map[string]tile.Arg{}
						for _, q := range p.Params {
							mine[q.Name] = args[q.Name]
						}
						require.NoError(t, tile.Interpret(p, mine, tile.Options{Seed: 7, Races: true}))
					}
					experts := int32s(args["chosen_experts"].Data)
					blocks := int32s(args["chosen_blocks"].Data)
					requireSorted(t, chosen, rank*local, local, experts, int32s(args["chosen_slots"].Data), blocks)
				})
			}
		}
	}
}

// sortingArgs are the arguments of the programs that sort.
func sortingArgs(t *testing.T, k *triton.Lowered, env ir.Env, first int, chosen []int32) map[string]tile.Arg {
	args := map[string]tile.Arg{}
	for _, p := range k.Programs[:2] {
		for _, q := range p.Params {
			b := k.Bindings[q.Name]
			switch b.Source {
			case triton.FromSize:
				args[q.Name] = tile.Arg{Scalar: env[b.Symbol]}
			case triton.FromFirst:
				args[q.Name] = tile.Arg{Scalar: first}
			case triton.FromWork:
				data, err := room(b, env)
				require.NoError(t, err)
				args[q.Name] = tile.Arg{Data: data}
			default:
				data, err := binary.Append(nil, binary.LittleEndian, chosen)
				require.NoError(t, err)
				args[q.Name] = tile.Arg{Data: data}
			}
		}
	}
	return args
}

func int32s(data []byte) []int32 {
	out := make([]int32, len(data)/4)
	for i := range out {
		out[i] = int32(binary.LittleEndian.Uint32(data[4*i:]))
	}
	return out
}

// requireSorted holds that each expert's slots stand in its blocks in their order, then those of other ranks, and -1 where
// there is none.
func requireSorted(t *testing.T, chosen []int32, first, local int, experts, slots, blocks []int32) {
	t.Helper()
	groups := make([][]int32, local+1)
	for i, id := range chosen {
		g := int(id) - first
		if g < 0 || g >= local {
			g = local
		}
		groups[g] = append(groups[g], int32(i))
	}
	rows := len(slots) / len(experts)
	block := 0
	for g, list := range groups {
		if g == local {
			require.EqualValues(t, block, blocks[0], "blocks of the rank's experts")
		}
		for ; len(list) > 0; block++ {
			require.Less(t, block, len(experts), "there is no room for the blocks")
			require.Equal(t, int32(g), experts[block], "the expert of block %d", block)
			n := min(rows, len(list))
			want := append([]int32(nil), list[:n]...)
			for len(want) < rows {
				want = append(want, -1)
			}
			require.Equal(t, want, slots[block*rows:(block+1)*rows], "the slots of block %d", block)
			list = list[n:]
		}
	}
	require.EqualValues(t, block, blocks[1], "blocks")
}

// TestExpertsOfUnusualLists replays products by experts on lists that random inputs hardly ever hold.
func TestExpertsOfUnusualLists(t *testing.T) {
	m, target := lowered(t, "deepseek-v4-nano", "h200", 2, "")
	d := roles.ExpertAxis(m)
	local, _ := d.Size.IsConst()
	all, _ := d.Whole().Size.IsConst()
	const rank = 1
	for _, f := range m.Kernels {
		if f.Mode != ir.Prefill || !roles.Uses(f, ops.ExpertLinear) {
			continue
		}
		k, _, err := Programs(m, f, target, Bounds)
		require.NoError(t, err)
		for _, list := range dispatchLists {
			t.Run(f.FullName()+"/"+list.name, func(t *testing.T) {
				env := ir.Env{"b": 1, "s": min(list.tokens, 33), "p": 0, "m": list.tokens}
				if list.tokens > 4000 && f.FullName() == "experts_w1_w3.prefill" {
					env["s"] = 2200 // more blocks than have instances of their own
				}
				l, err := Synthesize(m, f, env, rank, 4, Random)
				require.NoError(t, err)
				r := rand.New(rand.NewPCG(1, 2))
				for i, a := range f.Args {
					if roles.Of(f, a) == roles.ExpertIDs {
						for slot := range l.Args[i].I {
							l.Args[i].I[slot] = int32(list.choose(r, slot, all, rank*local, local))
						}
					}
				}
				(&synthesis{mod: m, fn: f, rank: rank}).clearForeign(l.Args)
				l.Results, err = eval.Kernel(m, f, env, rank, l.Args)
				require.NoError(t, err)
				diffs, err := Replay(k, l, m.Mesh, Interpreted(tile.Options{Seed: 5, Races: true}))
				require.NoError(t, err)
				require.NoError(t, Verdict(diffs))
			})
		}
	}
}
