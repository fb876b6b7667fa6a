package weights

import (
	"encoding/binary"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestFirstInfinite holds the search by words against the definition, for every bf16 value at every place of a word,
// and for random words of both widths with few or no infinite numbers.
func TestFirstInfinite(t *testing.T) {
	slow := func(data []byte, width int) int {
		for i := 0; i+width <= len(data); i += width {
			exponent := binary.LittleEndian.Uint16(data[i+width-2:]) & 0x7F80
			if exponent == 0x7F80 {
				return i / width
			}
		}
		return -1
	}
	check := func(data []byte) {
		require.Equal(t, slow(data, 2), firstInfinite(data, 2, 0x7F80_7F80_7F80_7F80), "% x", data)
		require.Equal(t, slow(data, 4), firstInfinite(data, 4, 0x7F80_0000_7F80_0000), "% x", data)
	}
	for v := range 1 << 16 {
		data := make([]byte, 20)
		binary.LittleEndian.PutUint16(data[v%10*2:], uint16(v))
		check(data)
	}
	r := rand.New(rand.NewPCG(1, 2))
	for range 20000 {
		data := make([]byte, 4*r.IntN(12))
		for i := range data {
			data[i] = byte(r.Uint32())
			if i%2 == 1 && data[i]&0x7F == 0x7F && r.IntN(4) > 0 {
				data[i] = 0x3F
			}
		}
		check(data)
	}
}
