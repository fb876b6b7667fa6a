package verify

import "flagc/ir/tile"

var sampleFaults = []fault{
	{planted: "of equal logits the last is chosen", kernel: "sample_argmax.decode", variation: Duplicates, text: true, plant: func(e *edit) {
		place := e.named("place")
		place.Code = tile.Max
		place.Args[0].Def.Args[2].Def.Int = -1
	}},
	{planted: "noise is not in the exponent", kernel: "sample_draw.decode", plant: func(e *edit) {
		log := e.code(tile.Log, 0)
		e.replace(log.Results[0], log.Args[0])
	}},
	{planted: "every row has the temperature of the first", kernel: "sample_draw.decode", plant: func(e *edit) {
		load := e.find("load of the temperature", func(op *tile.Op) bool { return op.Code == tile.Load && op.Param.Name == "temperature" })
		e.operand(load, 0, func(p *patch, x *tile.Value) *tile.Value { return p.binary(tile.Sub, x, x) })
	}},
	{planted: "places count from each part's first", kernel: "sample_pick.decode", plant: func(e *edit) { e.constant(256, true).Int = 0 }},
}
