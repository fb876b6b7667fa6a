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
		for i := 0; i+2 <= len(t.Data); i += 2 {
			if binary.LittleEndian.Uint16(t.Data[i:])&0x7F80 == 0x7F80 {
				return badValue(t, i/2, "not a finite number")
			}
		}
	case "F32":
		for i := 0; i+4 <= len(t.Data); i += 4 {
			if binary.LittleEndian.Uint32(t.Data[i:])&0x7F800000 == 0x7F800000 {
				return badValue(t, i/4, "not a finite number")
			}
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
