package triton

import (
	"flag"
	"fmt"
	"math/rand"
	"testing"

	"github.com/stretchr/testify/require"

	"flagc/internal/goldens"
	"flagc/ir/tile"
	"flagc/passes"
	"flagc/targets"
)

var (
	oddModels = flag.Int("odd-models", 40, "how many models of odd sizes to make kernels of")
	oddFrom   = flag.Int64("odd-from", 1, "seed of the first of them")
)

// TestLongRowsTakeSmallerBlocks makes kernels of heads and streams that the blocks of no real model's leave room for.
func TestLongRowsTakeSmallerBlocks(t *testing.T) {
	config := goldens.Edited(t, "deepseek-v4-nano", func(keys map[string]any) { keys["head_dim"], keys["hc_mult"] = 576, 8 })
	for _, name := range []string{"c500", "zhenwu-810e", "ascend-910b-64g"} {
		target, _ := targets.Find(name)
		m := through(t, goldens.Elaborate(t, config, nil), passes.Options{Target: target})
		smaller := 0
		for _, f := range m.Kernels {
			_, first, err := finished(m, f, target, scheduleFor(target), *m.Memory)
			require.NoError(t, err)
			k, violations, err := Fit(m, f, target, *m.Memory)
			require.NoError(t, err)
			require.Empty(t, Errors(violations), "%s %s", name, f.FullName())
			if len(Errors(first)) > 0 {
				smaller++
			}
			for _, p := range k.Programs {
				require.NoError(t, tile.Verify(p))
			}
		}
		require.Positive(t, smaller, "%s has room for everything: choose longer rows", name)
	}
}

// TestOddModelsBuild makes kernels of models whose sizes are drawn, as far as the model's text allows them.
// -odd-models N and -odd-from SEED draw more.
func TestOddModelsBuild(t *testing.T) {
	all := targets.All()
	for seed := *oddFrom; seed < *oddFrom+int64(*oddModels); seed++ {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			rng := rand.New(rand.NewSource(seed))
			one := func(of ...int) int { return of[rng.Intn(len(of))] }
			heads := one(1, 2, 4, 8, 12, 16, 24, 64)
			groups := one(1, 2, 4, 8)
			for heads%groups != 0 {
				groups /= 2
			}
			config := goldens.Edited(t, "deepseek-v4-nano", func(keys map[string]any) {
				ratios := []int{0, one(0, 4, 128), one(0, 4, 128), 4, one(0, 4, 128), 0}
				for key, value := range map[string]any{"compress_ratios": ratios, "num_hidden_layers": 5, "num_attention_heads": heads,
					"o_groups": groups, "hidden_size": one(128, 256, 384, 640, 1024, 3072, 7168), "vocab_size": one(100, 512, 1000, 129280),
					"head_dim": one(64, 128, 192, 256, 512, 576), "q_lora_rank": one(128, 256, 384, 1024, 1536),
					"o_lora_rank": one(128, 256, 384, 1024), "index_n_heads": one(1, 2, 8, 64), "index_topk": one(1, 96, 512, 1000, 2048),
					"n_routed_experts": one(4, 12, 60, 64, 256, 384), "num_experts_per_tok": one(1, 2, 3, 4),
					"moe_intermediate_size": one(128, 256, 384, 768, 2048), "sliding_window": one(16, 64, 100, 128, 512), "hc_mult": one(1, 2, 3, 4, 4),
					"num_hash_layers": one(0, 1, 3), "hc_sinkhorn_iters": one(1, 5, 20)} {
					keys[key] = value
				}
			})
			target := all[rng.Intn(len(all))]
			for target.Host.Executes {
				target = all[rng.Intn(len(all))]
			}
			opts := passes.Options{Target: target, Batch: one(1, 1, 3, 64), Context: one(100, 65536, 1<<20)}
			if target.Ops.Int64.Is(targets.Forbidden) {
				opts.Batch, opts.Context = 1, 65536 // 32 bits must do
			}
			m := through(t, goldens.Elaborate(t, config, nil), opts)
			b, err := NewBuild(m, target)
			require.NoError(t, err, "%s %+v %s", target.Name, opts.Context, config)
			requireComplete(t, m, b)
		})
	}
}
