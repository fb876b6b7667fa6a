package weights

import (
	"encoding/binary"
	"fmt"
	"sync"
	"sync/atomic"

	"flagc/ir"
	"flagc/runtime/formats"
)

// matrix is a band of rows of a stored weight, with the scales of those rows. Rows of a plain or quantised element
// have no padding.
type matrix struct {
	elem       ir.Elem
	width      int // bytes of a plain element
	rows, cols int // elements
	codes      []byte
	scales     []byte // one row of them for elem.Rows rows
}

// codeBytes is the length of n elements of a row.
func (m *matrix) codeBytes(n int) int {
	if m.elem.DType == ir.FP4 {
		return n / 2
	}
	return n * m.width
}

// perRow is the number of scales in a row of blocks.
func (m *matrix) perRow() int { return (m.cols + m.elem.Cols - 1) / m.elem.Cols }

// row is the codes of row r from column c on.
func (m *matrix) row(r, c int) []byte {
	stride := m.codeBytes(m.cols)
	return m.codes[r*stride+m.codeBytes(c) : (r+1)*stride]
}

// scaleRow is the scales of row r from column c on.
func (m *matrix) scaleRow(r, c int) []byte {
	n := m.perRow()
	at := r / m.elem.Rows * n
	return m.scales[at+c/m.elem.Cols : at+n]
}

// TileCounts says how FP4 tiles became FP8 exactly.
type TileCounts struct {
	// Spread counts tiles by how many powers of two lie between their scales.
	Spread map[int]int64 `json:"spread,omitempty"`
	// ByCode counts those whose spread is beyond what is exact for all codes, and which were proved code by code.
	ByCode int64 `json:"proved_by_code,omitempty"`
}

func (t *TileCounts) add(u TileCounts) {
	for exponents, n := range u.Spread {
		t.count(exponents, n)
	}
	t.ByCode += u.ByCode
}

func (t *TileCounts) count(exponents int, n int64) {
	if t.Spread == nil {
		t.Spread = map[int]int64{}
	}
	t.Spread[exponents] += n
}

// Tiles is how many there are altogether.
func (t TileCounts) Tiles() (n int64) {
	for _, k := range t.Spread {
		n += k
	}
	return n
}

// recode fills dst with the part of src that begins at row r0 and column c0, both at the edge of scale blocks of
// either encoding, or anywhere where FP8 is widened. The error names the first block that cannot be converted exactly, by
// its place in src.
func recode(how Conversion, dst, src *matrix, r0, c0 int, tiles *TileCounts) error {
	switch how {
	case FP4ToBF16:
		return widenRows(dst, src, r0, c0, fp4Words)
	case FP8ToBF16:
		return widenRows(dst, src, r0, c0, fp8Words)
	case FP4ToFP8:
		for r := 0; r < dst.rows; r += tile {
			for c := 0; c < dst.cols; c += tile {
				if err := recastTile(dst, src, r, c, r0, c0, tiles); err != nil {
					return err
				}
			}
		}
		return nil
	}
	keepRows(dst, src, r0, c0)
	return nil
}

// keepRows copies codes and scales.
func keepRows(dst, src *matrix, r0, c0 int) {
	for r := range dst.rows {
		copy(dst.row(r, 0), src.row(r0+r, c0))
	}
	if !src.elem.IsQuantised() {
		return
	}
	for r := 0; r < dst.rows; r += src.elem.Rows {
		copy(dst.scaleRow(r, 0), src.scaleRow(r0+r, c0))
	}
}

// widenRows converts to bf16 block by block; write converts the codes of one block with one scale.
func widenRows(dst, src *matrix, r0, c0 int, write func(dst, codes []byte, scale byte)) error {
	least, most := exactScales(src.elem)
	for r := range dst.rows {
		out, in := dst.row(r, 0), src.row(r0+r, c0)
		scales := src.scaleRow(r0+r, c0)
		lead := c0 % src.elem.Cols // of the first block
		for c, n := 0, 0; c < dst.cols; c += n {
			n = min(src.elem.Cols-(lead+c)%src.elem.Cols, dst.cols-c)
			scale := scales[(lead+c)/src.elem.Cols]
			if scale < least || scale > most {
				return fmt.Errorf("the scale at row %d, column %d is the byte %d; from %s the elements fit bf16 exactly for "+
					"%d to %d only", r0+r, c0+c, scale, src.elem, least, most)
			}
			at := src.codeBytes(c)
			write(out[2*c:2*(c+n)], in[at:at+src.codeBytes(n)], scale)
		}
	}
	return nil
}

// bf16Pairs holds, for every scale, both elements of every byte of FP4 codes as bf16, and bf16Codes every E4M3
// code. Tables are made when they are first needed: real checkpoints use few scales.
var (
	bf16Pairs [256]atomic.Pointer[[256]uint32]
	bf16Codes [256]atomic.Pointer[[256]uint16]
)

func fp4Words(dst, codes []byte, scale byte) {
	table := bf16Pairs[scale].Load()
	if table == nil {
		table = new([256]uint32)
		for b, pair := range e2m1Pairs {
			even, odd := pair[0]*ue8m0Values[scale], pair[1]*ue8m0Values[scale]
			table[b] = uint32(formats.BF16FromFloat64(even)) | uint32(formats.BF16FromFloat64(odd))<<16
		}
		bf16Pairs[scale].Store(table)
	}
	dst = dst[:4*len(codes)]
	for i, b := range codes {
		binary.LittleEndian.PutUint32(dst[4*i:4*i+4], table[b])
	}
}

func fp8Words(dst, codes []byte, scale byte) {
	table := bf16Codes[scale].Load()
	if table == nil {
		table = new([256]uint16)
		for b, v := range e4m3Values {
			table[b] = formats.BF16FromFloat64(v * ue8m0Values[scale])
		}
		bf16Codes[scale].Store(table)
	}
	dst = dst[:2*len(codes)]
	for i, b := range codes {
		binary.LittleEndian.PutUint16(dst[2*i:2*i+2], table[b])
	}
}

// recastTile converts the 128×128 tile at row r, column c of dst. The new scale is the largest of the tile less
// 2^6, so that the largest element, 6, becomes 384 (spec v4_checkpoint §7).
func recastTile(dst, src *matrix, r, c, r0, c0 int, tiles *TileCounts) error {
	least, most := byte(255), byte(0)
	for y := range tile {
		for _, b := range src.scaleRow(r0+r+y, c0+c)[:perTile] {
			least, most = min(least, b), max(most, b)
		}
	}
	spread := int(most) - int(least)
	if most < recastShift || most == 255 {
		return fmt.Errorf("tile %d,%d: its largest scale is the byte %d; recasting to FP8 needs 6 to 254",
			(r0+r)/tile, (c0+c)/tile, most)
	}
	tiles.count(spread, 1)
	if spread > MaxLossless {
		tiles.ByCode++
	}
	tables := fp8Pairs()
	for y := range tile {
		in, out := src.row(r0+r+y, c0+c), dst.row(r+y, c)
		for b, scale := range src.scaleRow(r0+r+y, c0+c)[:perTile] {
			k := int(most) - int(scale)
			block := in[16*b : 16*b+16]
			if k > MaxLossless && !blockFits(block, k) {
				return fmt.Errorf("tile %d,%d: scale exponents spread over %d, and row %d holds codes that FP8 cannot take "+
					"exactly there; keep the experts in FP4 (w4a8)", (r0+r)/tile, (c0+c)/tile, spread, r0+r+y)
			}
			recastBlock(out[32*b:32*b+32], block, &tables[min(k, maxFactor+1)])
		}
	}
	dst.scaleRow(r, c)[0] = most - recastShift
	return nil
}

// recastShift is how many powers of two the scale of an FP8 tile lies below the largest FP4 scale in it.
const recastShift = 6

// maxFactor is the largest k for which a code other than zero, 4, is an e4m3 number after the factor 2^(6-k).
const maxFactor = 17

// fp8Pairs holds, for every factor 2^(6-k), both elements of every byte of FP4 codes as E4M3; -0 becomes +0, as
// in the official table.
var fp8Pairs = sync.OnceValue(func() *[maxFactor + 2][256]uint16 {
	t := new([maxFactor + 2][256]uint16)
	for k := range t {
		factor := ue8m0Values[127+recastShift-k]
		for b := range t[k] {
			pair := e2m1Pairs[b]
			t[k][b] = uint16(recastCode(pair[0]*factor)) | uint16(recastCode(pair[1]*factor))<<8
		}
	}
	return t
})

func recastCode(v float64) byte {
	if v == 0 {
		return 0
	}
	return formats.E4M3FromFloat64(v)
}

// recastBlock converts 32 codes, eight at a time; blocks beyond maxFactor hold zeros only, as blockFits has proved.
func recastBlock(dst, codes []byte, table *[256]uint16) {
	dst, codes = dst[:32], codes[:16]
	for i := 0; i < 16; i += 4 {
		four := codes[i : i+4 : i+4]
		eight := uint64(table[four[0]]) | uint64(table[four[1]])<<16 | uint64(table[four[2]])<<32 | uint64(table[four[3]])<<48
		binary.LittleEndian.PutUint64(dst[2*i:2*i+8], eight)
	}
}
