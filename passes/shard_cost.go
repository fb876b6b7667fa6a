package passes

import (
	"math"

	"flagc/ir"
)

// decodeTime is what the choice between layouts goes by: the bound on the time of one decoded token at the sizes that
// memory is planned for. A module that decodes nothing has no preference.
func decodeTime(m *ir.Module, opts Options) float64 {
	batch, context, _, err := opts.MemorySizes()
	if err != nil {
		return math.Inf(1)
	}
	seconds, _, err := DecodeTime(m, opts.Target, batch, max(context, 2))
	if err != nil {
		return math.Inf(1)
	}
	return seconds
}
