package triton

import (
	"math"

	"flagc/targets"
)

// schedule is how large blocks are. It follows from a target's traits alone, so equal builds have equal kernels.
type schedule struct {
	rowElements   int // float32 elements of a row block that a program holds at once, a few times over
	gemvElements  int // weights that a program multiplies at once for one row of activations
	gemvWidth     int // weight rows that it multiplies them with, whole rows or parts of them, at least
	gemvLeast     int // and where half the machine would idle otherwise
	pieceColumns  int // columns of a row that a program computes where rows are few and nothing whole is needed; 0 for all
	mixElements   int // elements of the mixing matrix that a program multiplies at once
	mixParts      int // programs that share the product with it for a single token
	mixBlockParts int // programs that share it for a block of tokens at most
	mixRows       int // tokens of a block of that product
	mixDepth      int // columns of a stream that are multiplied at once for a block of tokens
	instances     int // programs that keep the machine busy
	dotM, dotN    int // the smallest dot
	dotK          int
	leastK        int // what dotK can shrink to
	panelElements int // elements of a dot's larger operand
	blockElements int // of its result
	dotRows       int // rows of a block of a matrix product
	codeRows      int // and where codes of FP8 are multiplied as FP16, at most
	dotWidth      int // its columns, if the epilogue does not ask for more
	dotDepth      int // what is summed at once
	severalWidth  int // columns of a block that has few rows
	groupRows     int // rows of a block of slots that chose the same expert
	groupBlocks   int // such blocks that have instances of their own; further ones take turns
	keyBlock      int // compressed entries that a program rates at once
	rateBlock     int // listed entries that a program of attention rates at once where one token must keep the machine busy
	rateDots      int // dots that it sums their channels with, side by side
	rankBlock     int // compressed entries that a program ranks at once
	groupBlock    int // groups of them whose best a program finds
	valueWidth    int // channels that a program of attention weighs at once
	warps         int
	lanes         int  // of a vector at least, 1 where there is no such limit
	warpLanes     int  // of a vector that every warp can hold as a whole
	headRows      int  // heads that a dot of attention takes at most
	leastHeads    int  // and at least
	sumEachRound  bool // whether a product of one row is summed in each round of its loop, which takes less room than after it
	wholeElements int  // of whole rows of a matrix product that its epilogue takes at once: of the fewest rows that a dot has
	maskedRows    int  // rows of a tile under a mask at most; 0 for any
	factorsApart  bool // whether exponentials that scale rows of tiles come from a program of their own
	lastAxis      bool // whether only the last axis of a tile reduces
	heldBytes     int  // that a program loads before it waits for the launch before, at most
	ropeApart     bool // whether the channels that a rope turns are taken out of a row, which takes less room
}

// scheduleFor chooses blocks for a target.
func scheduleFor(t targets.Target) schedule {
	m, n, k := t.Dot.Tile(16)
	p := schedule{rowElements: 8192, gemvElements: 16384, gemvWidth: 4, gemvLeast: 2, instances: 256, mixElements: 4096, mixParts: 32, dotM: max(m, 16), dotN: max(n, 16), dotK: max(k, 32), panelElements: 16384, blockElements: 16384, dotRows: 64,
		dotWidth: 128, dotDepth: 128, keyBlock: 64, rankBlock: 16, groupBlock: 16, valueWidth: 128, warps: 4}
	p.groupRows, p.groupBlocks, p.mixBlockParts, p.pieceColumns = 64, 128, 32, 512
	p.leastK, p.mixRows, p.mixDepth, p.severalWidth = max(k, 16), max(m, 32), 128, 64
	p.rateBlock, p.rateDots, p.leastHeads = max(n, 8), 4, max(m, 8)
	p.lanes, p.headRows, p.wholeElements, p.warpLanes = 1, 64, 4096, math.MaxInt
	if kind, ok := t.OnChip.Kind.Get(); ok && kind != targets.Shared {
		// Every tile lives in the buffer, most of them twice.
		p.rowElements, p.gemvElements, p.gemvWidth, p.gemvLeast, p.instances = 2048, 4096, 16, 16, 32
		p.panelElements, p.blockElements = 8192, 2048
		p.dotWidth, p.dotDepth, p.valueWidth, p.groupBlock = 64, 64, 64, 64
		p.dotRows, p.groupRows = 32, 32
		p.ropeApart, p.rateDots, p.pieceColumns, p.wholeElements = true, 1, 0, math.MaxInt
		if kind == targets.CoreBuffers {
			p.sumEachRound, p.wholeElements = true, 2048
		}
	}
	if n, ok := t.Warps.Width.Get(); ok && n > 1 {
		p.warpLanes = n
	}
	if p.codeRows = p.dotRows; t.Dot.FP8Exact.Is(targets.Slow) {
		p.codeRows = max(p.dotM, 32)
	}
	if n, ok := t.Loads.MinLanes.Get(); ok {
		p.lanes, p.gemvWidth, p.gemvLeast = n, max(p.gemvWidth, n), max(p.gemvLeast, n)
		p.dotN, p.dotK, p.leastK = max(p.dotN, n), max(p.dotK, n), max(p.leastK, n)
		p.keyBlock, p.rankBlock, p.rateBlock = max(p.keyBlock, n), max(p.rankBlock, n), max(p.rateBlock, n)
		p.valueWidth = max(p.valueWidth, 2*n) // a rope takes pairs of channels
		p.ropeApart = false                   // those of one row are too few
	}
	if n, ok := t.Loads.MaxMasked.Get(); ok {
		p.maskedRows, p.headRows, p.dotRows, p.codeRows = n, min(p.headRows, n), min(p.dotRows, n), min(p.codeRows, n)
	}
	if t.Launch.Dependent.Is(true) {
		p.heldBytes = 3 * p.gemvElements // what one round of a product in bf16 reads, with scales and other small things
	}
	p.factorsApart = t.Ops.BroadcastExp.Is(targets.Forbidden)
	p.lastAxis = t.Reductions.LastAxis.Is(true)
	return p
}

// smaller has blocks of half the size, as far as vectors and dots can be smaller: for models whose rows are longer than
// those that the blocks are chosen for.
func (p schedule) smaller() schedule {
	halve := func(least int, sizes ...*int) {
		for _, size := range sizes {
			*size = max(*size/2, min(*size, least))
		}
	}
	halve(p.dotM, &p.dotRows, &p.codeRows, &p.mixRows, &p.groupRows, &p.headRows)
	halve(p.dotN, &p.dotWidth, &p.severalWidth)
	halve(p.leastK, &p.dotK)
	halve(p.dotK, &p.dotDepth, &p.mixDepth)
	halve(max(p.lanes, p.dotN), &p.keyBlock)
	halve(max(2*p.lanes, p.dotN), &p.valueWidth)
	halve(p.lanes, &p.mixElements, &p.rowElements, &p.gemvElements)
	halve(p.dotM*p.dotN, &p.panelElements, &p.blockElements)
	p.wholeElements = min(p.wholeElements/2, 8192)
	return p
}
