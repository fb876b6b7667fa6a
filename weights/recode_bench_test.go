package weights

import (
	"testing"
)

// BenchmarkRecode measures conversions alone, in written bytes, on a band of an expert of Flash.
func BenchmarkRecode(b *testing.B) {
	const rows, cols = 512, 4096
	for _, c := range []struct {
		name string
		how  Conversion
		from matrix
		to   matrix
	}{
		{"fp4-to-fp8", FP4ToFP8, matrix{elem: storedFP4, width: 0}, matrix{elem: storedFP8, width: 1}},
		{"fp4-to-bf16", FP4ToBF16, matrix{elem: storedFP4, width: 0}, matrix{elem: plainBF16, width: 2}},
		{"fp8-to-bf16", FP8ToBF16, matrix{elem: storedFP8, width: 1}, matrix{elem: plainBF16, width: 2}},
	} {
		b.Run(c.name, func(b *testing.B) {
			src, dst := c.from, c.to
			for _, m := range []*matrix{&src, &dst} {
				m.rows, m.cols = rows, cols
				codes, scales := m.bytes()
				m.codes, m.scales = make([]byte, codes), make([]byte, scales)
			}
			for i := range src.codes {
				src.codes[i] = byte(i * 37)
				if c.how == FP8ToBF16 {
					src.codes[i] &= 0x77
				}
			}
			for i := range src.scales {
				src.scales[i] = 120 + byte(i%3)
			}
			b.SetBytes(int64(len(dst.codes)))
			var tiles TileCounts
			for range b.N {
				if err := recode(c.how, &dst, &src, 0, 0, &tiles); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
