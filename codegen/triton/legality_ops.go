package triton

import (
	"fmt"

	"flagc/ir/tile"
	"flagc/targets"
)

// indexWidth asks what the target does with vectors of i64. Where nobody says, arithmetic on them is for addresses
// alone.
func (c *checker) indexWidth() {
	use, known := c.t.Ops.Int64.Get()
	source := c.t.Ops.Int64.Source()
	if !known {
		source = c.t.Index.Bits.Source()
	}
	if use == targets.Works {
		return
	}
	c.p.Body.Walk(func(op *tile.Op) {
		v := longVector(op)
		if v == nil || !c.plan.sites[op].keep {
			return
		}
		remedy := "count in i32 and widen a scalar row offset"
		arithmetic := op.Code >= tile.Neg && op.Code != tile.Cast && op.Code < tile.Load
		switch {
		case use == targets.Forbidden:
			c.breaks(source, "no vectors of i64", remedy, "%s", c.text(op))
		case !arithmetic:
		case use == targets.Slow:
			c.warns(source, "vectors of i64 are slow", remedy, "%s", c.text(op))
		case v.Def != op || !c.onlyAddresses(v, map[*tile.Value]bool{}):
			c.breaks(source, "vectors of i64 for addresses only", remedy, "%s", c.text(op))
		}
	})
}

// longVector is the vector of i64 that an op yields or compares, nil if there is none.
func longVector(op *tile.Op) *tile.Value {
	values := op.Results
	if op.Code.IsComparison() {
		values = op.Args
	}
	for _, v := range values {
		if v.DType == tile.I64 && len(v.Shape) > 0 {
			return v
		}
	}
	return nil
}

func (c *checker) transposes() {
	if !c.t.Ops.Transpose.Is(targets.Forbidden) {
		return
	}
	c.each(func(op *tile.Op) {
		c.breaks(c.t.Ops.Transpose.Source(), "no transposes in a program",
			"load the tile with its axes exchanged (TransposeByLoad)", "%s", c.text(op))
	}, tile.Transpose)
}

// divisions are warned about where they are slow and repeated: on vectors and in loops.
func (c *checker) divisions() {
	if !c.t.Ops.Divide.Is(targets.Slow) {
		return
	}
	c.each(func(op *tile.Op) {
		v := op.Results[0]
		if !v.DType.IsFloat() && (len(v.Shape) > 0 || c.inLoop(op)) {
			c.warns(c.t.Ops.Divide.Source(), "integer division is slow", "divide once per program, or shift", "%s", c.text(op))
		}
	}, tile.Div, tile.Mod)
}

func (c *checker) gathers() {
	use := c.t.Ops.Gather
	lanes, limited := c.t.Loads.MinGather.Get()
	c.each(func(op *tile.Op) {
		if !c.isGathered(op) {
			return
		}
		if n := op.Results[0].Len(); limited && n > 1 && n < lanes {
			c.breaks(c.t.Loads.MinGather.Source(), fmt.Sprintf("gathers of at least %d lanes", lanes),
				"take larger blocks", "a gather of %d lanes, %s", n, c.text(op))
		}
		switch use.Or(targets.Works) {
		case targets.Forbidden:
			c.breaks(use.Source(), "no gathers", "load whole rows in a loop", "%s", c.text(op))
		case targets.Slow:
			c.warns(use.Source(), "gathers are slow", "load whole rows where rows are what is gathered", "%s", c.text(op))
		}
	}, tile.Load)
}

// atomics are refused where they are known not to work. The trait speaks of vectors; of the scalar ones of tile
// programs nobody says more, so the answer for vectors is taken.
func (c *checker) atomics() {
	use := c.t.Ops.Atomics
	c.each(func(op *tile.Op) {
		remedy := "finish in a second launch"
		switch use.Or("unknown") {
		case targets.Works:
		case targets.Forbidden:
			c.breaks(use.Source(), "no atomic additions", remedy, "%s", c.text(op))
		case targets.Slow:
			c.warns(use.Source(), "atomic additions are slow", remedy, "%s", c.text(op))
		default:
			c.warns("", "atomic additions are not known to work", remedy, "%s", c.text(op))
		}
	}, tile.AtomicAdd)
}

func (c *checker) reductionLanes() {
	most, ok := c.t.Reductions.MaxLanes.Get()
	if !ok {
		return
	}
	c.each(func(op *tile.Op) {
		if n := op.Args[0].Shape[op.Axis].Size; n > most {
			c.breaks(c.t.Reductions.MaxLanes.Source(), fmt.Sprintf("reductions of at most %d lanes", most),
				"reduce in a loop over parts", "a reduction of %d lanes, %s", n, c.text(op))
		}
	}, tile.Sum, tile.Max, tile.Min)
}

func (c *checker) reductionAxis() {
	if !c.t.Reductions.LastAxis.Is(true) {
		return
	}
	c.each(func(op *tile.Op) {
		if rank := len(op.Args[0].Shape); op.Axis != rank-1 {
			c.breaks(c.t.Reductions.LastAxis.Source(), "only the last axis reduces",
				"load the tile with that axis last", "a reduction of axis %d of %d, %s", op.Axis, rank, c.text(op))
		}
	}, tile.Sum, tile.Max, tile.Min)
}
