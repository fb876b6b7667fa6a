package triton

import (
	"fmt"

	"flagc/ir/tile"
	"flagc/targets"
)

// dotTypes asks for products of the operands' format. What is not known to be there is not.
func (c *checker) dotTypes() {
	c.each(func(op *tile.Op) {
		d := op.Args[0].DType
		support := map[tile.DType]targets.Known[targets.Support]{
			tile.F32: c.t.Dot.FP32, tile.F16: c.t.Dot.FP16, tile.BF16: c.t.Dot.BF16, tile.E4M3: c.t.Dot.FP8,
		}[d]
		limit := fmt.Sprintf("dots of %s are %s", d, map[targets.Support]string{
			targets.Native: "native", targets.Emulated: "emulated", targets.None: "refused", "": "not known to work"}[support.Or("")])
		switch support.Or(targets.None) {
		case targets.None:
			c.breaks(support.Source(), limit, "widen the operands to a format that the target multiplies", "a dot of %s", d)
		case targets.Emulated:
			c.warns(support.Source(), limit, "widen the operands to bf16, which is exact for e4m3", "a dot of %s", d)
		}
	}, tile.Dot)
}

// dotTiles asks for the smallest tile of a dot.
func (c *checker) dotTiles() {
	c.each(func(op *tile.Op) {
		a, b := op.Args[0], op.Args[1]
		bits := 8 * a.DType.Bytes()
		minM, minN, minK := c.t.Dot.Tile(bits)
		m, k, n := a.Shape[0].Size, a.Shape[1].Size, b.Shape[1].Size
		if m >= minM && n >= minN && k >= minK {
			return
		}
		source := c.t.Dot.MinM.Source()
		switch {
		case n < minN:
			source = c.t.Dot.MinN.Source()
		case k < minK && bits > 8:
			source = c.t.Dot.MinK.Source()
		case k < minK:
			source = c.t.Dot.MinK8.Source()
		}
		c.breaks(source, fmt.Sprintf("at least %d x %d x %d", minM, minN, minK),
			"pad the tile and mask what is beyond, or multiply elementwise and sum",
			"a dot of M %d, N %d, K %d in %s", m, n, k, a.DType)
	}, tile.Dot)
}

// The names of the rules that bound tiles.
const (
	ruleOnChip = "on-chip"
	ruleCube   = "cube"
)

// portableOnChip is the least memory that a program has on any target whose amount is known.
const portableOnChip = 64 * targets.KiB

// onChipLimit is the memory that a program's tiles may take.
func onChipLimit(t targets.Target) targets.Bytes {
	if limit, known := t.OnChip.Limit(); known {
		return limit
	}
	return portableOnChip
}

// onChip holds the tiles against the memory that they live in.
func (c *checker) onChip() {
	limit, source := onChipLimit(c.t), c.t.OnChip.Usable.Source()
	if source == "" {
		source = c.t.OnChip.Bytes.Source()
	}
	kind := c.t.OnChip.Kind.Or(targets.Shared)
	need := targets.Bytes(0)
	if kind == targets.Shared {
		need = targets.Bytes(c.sharedBytes())
	} else {
		need = targets.Bytes(c.liveBytes(c.t.OnChip.DoubleBuffered.Or(false)))
	}
	if need <= limit {
		return
	}
	remedy := "take smaller blocks"
	if kind == targets.Shared && c.p.Launch.Stages > 1 {
		remedy = "take smaller blocks or fewer stages"
	}
	if c.t.OnChip.Unchecked.Is(true) {
		remedy += "; the compiler would not notice"
	}
	c.breaks(source, fmt.Sprintf("at most %s", limit), remedy, "tiles of %d bytes in the %s", need, kind)
}

// sharedBytes estimates what dots keep in shared memory: in each loop, or outside of loops, the loads that lead to a
// dot once per stage, and operands that are computed in registers once. Loops follow each other in the same memory, but
// where they are pipelined, compilers have been seen to keep that of two apart.
func (c *checker) sharedBytes() int {
	need := map[*tile.Op]int{}
	counted := map[*tile.Value]bool{} // several dots may share an operand, or a load
	c.each(func(op *tile.Op) {
		loop := c.loop(op)
		for _, x := range op.Args[:2] {
			need[loop] += c.operandBytes(x, loop, counted)
		}
	}, tile.Dot)
	most, second := 0, 0
	for _, n := range need {
		most, second = max(most, n), max(second, min(most, n))
	}
	if c.p.Launch.Stages > 1 {
		return most + second
	}
	return most
}

// operandBytes is what an operand needs of that, beside what others have been counted for.
func (c *checker) operandBytes(x *tile.Value, loop *tile.Op, counted map[*tile.Value]bool) (n int) {
	once := func(v *tile.Value, copies int) int {
		if counted[v] {
			return 0
		}
		counted[v] = true
		return v.Len() * v.DType.Bytes() * copies
	}
	load, direct := c.loadedIn(x, loop)
	if load != nil && loop != nil && c.p.Launch.Stages > 1 {
		n = once(load, c.p.Launch.Stages)
	} else if direct && load != nil {
		n = once(load, 1)
	}
	if !direct || load == nil {
		n += once(x, 1)
	}
	return n
}

// loadedIn is the load of the same loop that an operand comes from, and whether it is that load, at most transposed.
func (c *checker) loadedIn(x *tile.Value, loop *tile.Op) (load *tile.Value, direct bool) {
	direct = true
	for x.Def != nil && x.Def.Code != tile.Loop {
		switch x.Def.Code {
		case tile.Load:
			if c.loop(x.Def) == loop {
				return x, direct
			}
			return nil, false
		case tile.Transpose:
		default:
			direct = false
		}
		if len(x.Def.Args) == 0 {
			return nil, false
		}
		x = x.Def.Args[0]
	}
	return nil, false
}

// liveBytes is the most that all tiles take that are needed at one time, those that a loop loads twice if the
// compiler doubles them. What a matrix unit of its own keeps in its own buffers does not count.
func (c *checker) liveBytes(doubled bool) int {
	type change struct{ at, bytes int }
	var changes []change
	for v, uses := range c.plan.users {
		if len(v.Shape) == 0 || len(uses) == 0 || c.isAddress(v) || isConstTile(v) || c.t.Cube != nil && c.isCubes(v) {
			continue
		}
		n := v.Len() * v.DType.Bytes()
		if doubled && v.Def != nil && v.Def.Code == tile.Load && c.inLoop(v.Def) {
			n *= 2
		}
		s := c.plan.span(v)
		changes = append(changes, change{s.from, n}, change{s.to + 1, -n})
	}
	at := map[int]int{}
	last := 0
	for _, ch := range changes {
		at[ch.at] += ch.bytes
		last = max(last, ch.at)
	}
	now, most := 0, 0
	for i := -1; i <= last; i++ {
		now += at[i]
		most = max(most, now)
	}
	return most
}

// isConstTile reports whether a tile is one number, which takes no room of its own until something is added.
func isConstTile(v *tile.Value) bool {
	return v.Def != nil && v.Def.Code == tile.Full && isConst(v.Def.Args[0])
}

// isCubes reports whether a tile passes between device memory and a matrix unit alone: an operand as it was loaded,
// or a sum of products that is stored.
func (c *checker) isCubes(v *tile.Value) bool {
	if v.Def != nil && v.Def.Code == tile.Transpose {
		v = v.Def.Args[0]
	}
	if v.Def != nil && v.Def.Code == tile.Load {
		return c.servesDots(v)
	}
	return c.from(v, func(w *tile.Value) bool { return w.Def != nil && w.Def.Code == tile.Dot }, isCarried) &&
		c.sumsOnly(v, map[*tile.Value]bool{})
}

func isCarried(v *tile.Value) bool { return v.Def == nil || v.Def.Code == tile.Loop }

func (c *checker) servesDots(v *tile.Value) bool {
	for _, u := range c.users(v) {
		operand := u.op.Code == tile.Dot && u.arg < 2
		if !operand && (u.op.Code != tile.Transpose || !c.servesDots(u.op.Results[0])) {
			return false
		}
	}
	return true
}

// sumsOnly reports whether a value is only added to by dots, carried by loops and stored.
func (c *checker) sumsOnly(v *tile.Value, seen map[*tile.Value]bool) bool {
	if seen[v] {
		return true
	}
	seen[v] = true
	for _, u := range c.users(v) {
		next := v
		switch {
		case u.op.Code == tile.Store && u.arg == 1:
		case u.isAcc(), u.op.Code == tile.Cast:
			next = u.op.Results[0]
		case u.isInit():
			next = u.op.Body.Args[u.arg-1]
		case u.back:
			next = u.op.Results[u.arg]
		default:
			return false
		}
		if !c.sumsOnly(next, seen) {
			return false
		}
	}
	return true
}

// cube holds the operands of a dot against the buffers of a matrix unit of its own: two panels in L1, the
// accumulator in L0C.
func (c *checker) cube() {
	if c.t.Cube == nil {
		return
	}
	c.each(func(op *tile.Op) {
		a, b := op.Args[0], op.Args[1]
		panels := targets.Bytes(2 * a.DType.Bytes() * (a.Len() + b.Len()))
		if limit, ok := c.t.Cube.L1.Get(); ok && panels > limit {
			c.breaks(c.t.Cube.L1.Source(), fmt.Sprintf("L1 holds %s", limit), "take a smaller K",
				"two panels of %d bytes", panels/2)
		}
		acc := targets.Bytes(4 * op.Results[0].Len())
		if limit, ok := c.t.Cube.L0C.Get(); ok && acc > limit {
			c.breaks(c.t.Cube.L0C.Source(), fmt.Sprintf("L0C holds %s", limit), "take fewer rows or columns",
				"an accumulator of %d bytes", acc)
		}
	}, tile.Dot)
}
