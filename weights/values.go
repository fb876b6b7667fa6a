package weights

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"

	"flagc/internal/diag"
	"flagc/runtime/safetensors"
)

const damaged = "the file is damaged, or was written by a faulty converter; fetch it again"

// values reads the content of every tensor that is stored as expected, several tensors at a time, and lists
// the first wrong value of each in the order of the view. Tables of experts are read if tables is set.
func (v *view) values(tables bool) (out []finding) {
	found := make([]*diag.Diagnostic, len(v.expected))
	var next atomic.Int64
	var wg sync.WaitGroup
	for range runtime.GOMAXPROCS(0) {
		wg.Go(func() {
			for i := next.Add(1) - 1; i < int64(len(v.expected)); i = next.Add(1) - 1 {
				isTable := v.expected[i].Weight.Encoding().DType.IsInt()
				if v.fits(int(i)) && (tables || !isTable) {
					found[i] = checkValues(v.expected[i], v.found[i])
				}
			}
		})
	}
	wg.Wait()
	for _, d := range found {
		if d != nil {
			out = append(out, told(d))
		}
	}
	return out
}

// checkValues returns the first wrong value of a tensor, or nil.
func checkValues(e Tensor, t safetensors.Tensor) *diag.Diagnostic {
	switch t.DType {
	case "F8_E8M0":
		if at := bytes.IndexByte(t.Data, 0xFF); at >= 0 {
			n := bytes.Count(t.Data, []byte{0xFF})
			return badValue(t, at, fmt.Sprintf("byte 255, which means NaN (%s)", times(n)))
		}
	case "F8_E4M3":
		if at := firstNaN(t.Data); at >= 0 {
			return badValue(t, at, fmt.Sprintf("code 0x%02X, which means NaN", t.Data[at]))
		}
	case "BF16":
		if at := firstInfinite(t.Data, 2, 0x7F80_7F80_7F80_7F80); at >= 0 {
			return badValue(t, at, "not a finite number")
		}
	case "F32":
		if at := firstInfinite(t.Data, 4, 0x7F80_0000_7F80_0000); at >= 0 {
			return badValue(t, at, "not a finite number")
		}
	case "I64", "I32":
		return checkTable(e, t)
	}
	return nil
}

func times(n int) string {
	if n == 1 {
		return "the only one"
	}
	return grouped(int64(n)) + " such bytes in this tensor"
}

// firstNaN is the index of the first of the two NaN codes of E4M3, or -1.
func firstNaN(codes []byte) int {
	at := bytes.IndexByte(codes, 0x7F)
	if at >= 0 {
		codes = codes[:at]
	}
	if negative := bytes.IndexByte(codes, 0xFF); negative >= 0 {
		return negative
	}
	return at
}

// firstInfinite is the index of the first number of width bytes that is infinite or NaN, whose exponent is all ones, or
// -1. It looks at eight bytes at a time: exponent holds the exponents of all numbers in a word, and adding its lowest
// bits carries into a number's sign where its exponent is all ones, and into nothing else.
func firstInfinite(data []byte, width int, exponent uint64) int {
	signs := uint64(1) << (8*width - 1)
	for n := 2 * width; n <= 8; n *= 2 {
		signs |= signs << (4 * n)
	}
	lowest := exponent &^ (exponent << 1)
	word := func(i int) uint64 {
		return (binary.LittleEndian.Uint64(data[i:])&exponent + lowest) & signs
	}
	i := 0
	for i+8 <= len(data) && word(i) == 0 {
		i += 8
	}
	for ; i+width <= len(data); i += width {
		var last [8]byte
		copy(last[:], data[i:i+width])
		if (binary.LittleEndian.Uint64(last[:])&exponent+lowest)&signs&(1<<(8*width)-1) != 0 {
			return i / width
		}
	}
	return -1
}

// badValue says which element is wrong, by its indices.
func badValue(t safetensors.Tensor, at int, what string) *diag.Diagnostic {
	index := make([]int, len(t.Shape))
	for i := len(index) - 1; i >= 0; i-- {
		index[i], at = at%t.Shape[i], at/t.Shape[i]
	}
	kind := "element"
	if t.DType == "F8_E8M0" {
		kind = "scale"
	}
	d := diag.New(diag.Span{File: t.File}, "value", "tensor %s: %s %v is %s", t.Name, kind, index, what)
	return d.WithHelp(damaged)
}

// checkTable checks a table of experts: each row names different experts that exist.
func checkTable(e Tensor, t safetensors.Tensor) *diag.Diagnostic {
	entries, err := t.Int64s()
	if err != nil || len(t.Shape) != 2 {
		return nil // the dtype and shape are checked already
	}
	n, perRow := int64(expertsOf(e.Set)), t.Shape[1]
	wrong := func(at int, what string) *diag.Diagnostic {
		d := diag.New(diag.Span{File: t.File}, "value", "tensor %s: the row of token %d names expert %d %s",
			t.Name, at/perRow, entries[at], what)
		return d.WithHelp(damaged)
	}
	for i, expert := range entries {
		if expert < 0 || expert >= n {
			return wrong(i, fmt.Sprintf("in column %d, but the layer has %d experts, 0 to %d", i%perRow, n, n-1))
		}
		for _, before := range entries[i-i%perRow : i] {
			if before == expert {
				return wrong(i, "twice")
			}
		}
	}
	return nil
}
