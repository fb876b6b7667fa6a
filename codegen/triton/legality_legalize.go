package triton

import (
	"slices"

	"flagc/ir/tile"
	"flagc/targets"
)

// rewrites is what is done for a target before the check: what asks for each, and what it does. Each is a function of
// its own that keeps the meaning of any program.
var rewrites = []struct {
	asks  func(targets.Target) bool
	apply func(*tile.Program) *tile.Program
}{
	{func(t targets.Target) bool { return !t.Loads.FP8.Or(false) }, BytesForFP8},
	{func(t targets.Target) bool { return t.Ops.Transpose.Is(targets.Forbidden) }, TransposeByLoad},
	{func(t targets.Target) bool { return t.Loads.Repeats.Is(false) }, ReadOnce},
	{func(t targets.Target) bool { return t.Loads.LiveMasked.Is(true) }, LiveMasked},
	{func(t targets.Target) bool { return t.Loads.OtherIgnored.Is(true) }, MaskedWhere},
	{func(t targets.Target) bool { return t.Stores.EmptyDropsAll.Is(true) }, GuardStores},
}

// Legalize makes of a program what a target needs, as far as rewrites can, and holds the result against its rules.
// env is that of Check. The program itself stays as it is.
func Legalize(p *tile.Program, t targets.Target, env map[string]int) (*tile.Program, []Violation) {
	if t.Host.Executes {
		return p, nil
	}
	for _, r := range rewrites {
		if r.asks(t) {
			p = r.apply(p)
		}
	}
	if most, ok := t.Loads.MaxMasked.Get(); ok {
		p = UnmaskRows(p, most)
	}
	if limit, _ := warpLimit(t); limit > 0 && p.Launch.Warps > limit {
		p = FewerWarps(p, limit)
	}
	if limit, _ := stageLimit(t); limit > 0 && p.Launch.Stages > limit {
		p = FewerStages(p, limit)
	}
	for limit := onChipLimit(t); p.Launch.Stages > 1 && OnChip(p, t) > limit; {
		p = FewerStages(p, p.Launch.Stages-1)
	}
	sizes := sizesIn(p, env)
	large := func(q *tile.Param) bool { return isLarge(q, sizes) }
	if !t.Ops.Int64.Is(targets.Forbidden) && slices.ContainsFunc(p.Params, large) {
		p = WideOffsets(p, large, env)
	}
	if limit, _ := gridLimit(t); programs(p, env) > limit {
		p = Flatten(p, limit)
	}
	return p, Check(p, t, env)
}

// programs is the largest grid of a program, 0 if it cannot be computed.
func programs(p *tile.Program, env map[string]int) int {
	n, err := tile.EvalExpr(p.Grid, sizesIn(p, env))
	if err != nil {
		return 0
	}
	return n
}
