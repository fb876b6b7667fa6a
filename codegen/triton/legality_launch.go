package triton

import (
	"fmt"
	"math"

	"flagc/ir/tile"
	"flagc/targets"
)

// portableGrid is the most programs of a launch that every target takes.
const portableGrid = 65535

// gridLimit is the most programs of one launch, and where that is known from.
func gridLimit(t targets.Target) (int, string) {
	return t.Grid.Max.Or(portableGrid), t.Grid.Max.Source()
}

// grid evaluates the number of programs for the largest arguments.
func (c *checker) grid() {
	limit, source := gridLimit(c.t)
	n, err := tile.EvalExpr(c.p.Grid, c.env)
	if err != nil {
		c.breaks(source, fmt.Sprintf("at most %d programs", limit), "name the largest value of each scalar",
			"a grid that cannot be computed: %v", err)
		return
	}
	if n > limit {
		c.breaks(source, fmt.Sprintf("at most %d programs", limit), "let each program take several ids in a loop (Flatten)",
			"%s = %d programs", c.p.Grid, n)
	}
}

// portableThreads is the most threads of a block that every target takes, and widestWarp the most threads of a warp.
const (
	portableThreads = 1024
	widestWarp      = 64
)

// warpLimit is the largest num_warps, 0 if it changes nothing.
func warpLimit(t targets.Target) (int, string) {
	if t.Warps.Ignored.Is(true) {
		return 0, ""
	}
	return t.Warps.Max.Or(portableThreads / t.Warps.Width.Or(widestWarp)), t.Warps.Max.Source()
}

func (c *checker) warps() {
	limit, source := warpLimit(c.t)
	if limit > 0 && c.p.Launch.Warps > limit {
		c.breaks(source, fmt.Sprintf("at most %d warps", limit), "launch fewer warps (FewerWarps)", "%d warps", c.p.Launch.Warps)
	}
}

// stageLimit is the deepest pipeline that is trusted, 0 if there is no limit.
func stageLimit(t targets.Target) (int, string) {
	if t.Stages.Ignored.Is(true) {
		return 0, ""
	}
	return t.Stages.Safe.Or(0), t.Stages.Safe.Source()
}

func (c *checker) stages() {
	limit, source := stageLimit(c.t)
	if limit > 0 && c.p.Launch.Stages > limit {
		c.breaks(source, fmt.Sprintf("at most %d stages are trusted", limit), "compile with fewer stages (FewerStages)",
			"%d stages", c.p.Launch.Stages)
	}
}

// bytePointers asks whether arguments that point to bytes arrive.
func (c *checker) bytePointers() {
	if !c.t.Launch.BytePointers.Is(false) {
		return
	}
	for _, p := range c.p.Params {
		if p.Pointer && p.DType.Bytes() == 1 {
			c.breaks(c.t.Launch.BytePointers.Source(), "pointers to 8-bit types do not arrive",
				"pass it as i32 words and take the bytes by shifts", "parameter %s, a pointer to %s", p.Name, p.DType)
		}
	}
}

// indexRange holds the last element's position against 32 bits, and the size of a tensor against a slow path.
func (c *checker) indexRange() {
	for _, p := range c.p.Params {
		n, ok := elementCount(p, c.env)
		if !ok {
			continue
		}
		if isLarge(p, c.env) && c.indexed32(p) {
			c.breaks("positions of 32 bits", "the last position must fit i32",
				"count in i64 at the address (WideOffsets), or plan for fewer tokens: --batch, --chunk, --context",
				"parameter %s of %d elements with i32 offsets", p.Name, n)
		}
		bytes := targets.Bytes(n * p.DType.Bytes())
		if limit, ok := c.t.Loads.MaxTensor.Get(); ok && bytes > limit {
			c.warns(c.t.Loads.MaxTensor.Source(), fmt.Sprintf("fast loads up to %s", limit), "split the tensor",
				"parameter %s of %d bytes", p.Name, bytes)
		}
	}
}

// elementCount is how many elements a pointer's parameter has at most, if the extents are known.
func elementCount(p *tile.Param, sizes map[string]int) (int, bool) {
	n := 1
	for _, extent := range p.Shape {
		d, err := tile.EvalExpr(extent, sizes)
		if err != nil || d < 0 || d > 0 && n > math.MaxInt/d {
			return 0, false
		}
		n *= d
	}
	return n, p.Pointer && len(p.Shape) > 0
}

// isLarge reports whether the last element of a tensor is beyond what i32 counts.
func isLarge(p *tile.Param, sizes map[string]int) bool {
	n, ok := elementCount(p, sizes)
	return ok && n-1 > math.MaxInt32
}

func (c *checker) indexed32(p *tile.Param) bool {
	found := false
	c.each(func(op *tile.Op) { found = found || op.Param == p && op.Args[0].DType == tile.I32 },
		tile.Load, tile.Store, tile.AtomicAdd)
	return found
}

// alignment holds the length of rows against the alignment that fast accesses need.
func (c *checker) alignment() {
	align, ok := c.t.Loads.Alignment.Get()
	if !ok {
		return
	}
	for _, p := range c.p.Params {
		if !p.Pointer || len(p.Shape) < 2 {
			continue
		}
		row, err := tile.EvalExpr(p.Shape[len(p.Shape)-1], c.env)
		if bytes := row * p.DType.Bytes(); err == nil && bytes%int(align) != 0 {
			c.warns(c.t.Loads.Alignment.Source(), fmt.Sprintf("rows of a multiple of %s", align), "pad the rows",
				"parameter %s with rows of %d bytes", p.Name, bytes)
		}
	}
}
