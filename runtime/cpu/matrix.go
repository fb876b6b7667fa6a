package cpu

import (
	"encoding/binary"
	"fmt"
	"math"

	"flagc/runtime/formats"
)

// Encoding says how a Matrix is stored.
type Encoding uint8

// The encodings of the official checkpoint, all little-endian and row-major.
const (
	// F32 is IEEE single precision.
	F32 Encoding = iota
	// BF16 is the upper half of a float32.
	BF16
	// FP8 is e4m3 with one ue8m0 scale for each 128×128 tile. NaN codes are not supported in products
	// (a valid checkpoint has none): the vector kernels read them as ±480.
	FP8
	// FP4 is e2m1, two to a byte with the even column in the low nibble, with one ue8m0 scale for each
	// 32 columns of a row.
	FP4
)

const (
	tileSize  = 128 // rows and columns of an FP8 scale tile
	blockSize = 32  // columns of an FP4 scale block
)

// String returns the name used in messages.
func (e Encoding) String() string {
	switch e {
	case F32:
		return "f32"
	case BF16:
		return "bf16"
	case FP8:
		return "fp8"
	case FP4:
		return "fp4"
	}
	return fmt.Sprintf("encoding(%d)", uint8(e))
}

// Matrix is a weight [N,K] as the checkpoint stores it. Data and Scale may be parts of a mapped file and
// need no alignment. Build it with NewMatrix, which checks the lengths that the kernels rely on.
type Matrix struct {
	Enc   Encoding
	N, K  int
	First int // the number of row 0, above 0 where the matrix is the later part of a table
	Data  []byte
	Scale []byte // nil for F32 and BF16
}

// NewMatrix describes an n×k weight. It fails when data or scale have the wrong length for the encoding,
// or, for FP4, when k is no multiple of 32.
func NewMatrix(enc Encoding, n, k int, data, scale []byte) (*Matrix, error) {
	if n < 1 || k < 1 {
		return nil, fmt.Errorf("%v matrix of %d×%d: both sides must be at least 1", enc, n, k)
	}
	if enc > FP4 {
		return nil, fmt.Errorf("unknown matrix %v", enc)
	}
	if enc == FP4 && k%blockSize != 0 {
		return nil, fmt.Errorf("fp4 matrix of %d×%d: columns must be a multiple of %d", n, k, blockSize)
	}
	m := &Matrix{Enc: enc, N: n, K: k, Data: data, Scale: scale}
	if want := n * m.pitch(); len(data) != want {
		return nil, fmt.Errorf("%v matrix of %d×%d: data is %d bytes, expected %d", enc, n, k, len(data), want)
	}
	if want := m.scaleBytes(); len(scale) != want {
		return nil, fmt.Errorf("%v matrix of %d×%d: scale is %d bytes, expected %d", enc, n, k, len(scale), want)
	}
	return m, nil
}

// Row writes row n, widened exactly, to dst, which holds K values.
func (m *Matrix) Row(dst []float32, n int) {
	need("Row", "dst", len(dst), m.K)
	m.widenRange(dst, n, 0, m.K)
}

// Experts is one weight [N,K] for each routed expert, or for those that a rank has.
type Experts struct {
	N, K  int
	First int // the number of the expert that W begins with
	W     []Matrix
}

// pitch is the length of a row in bytes.
func (m *Matrix) pitch() int {
	switch m.Enc {
	case F32:
		return 4 * m.K
	case BF16:
		return 2 * m.K
	case FP8:
		return m.K
	}
	return m.K / 2
}

func (m *Matrix) scaleBytes() int {
	switch m.Enc {
	case FP8:
		return ceilDiv(m.N, tileSize) * ceilDiv(m.K, tileSize)
	case FP4:
		return m.N * (m.K / blockSize)
	}
	return 0
}

// scaleIndex is the place in Scale of the factor of element (n, k).
func (m *Matrix) scaleIndex(n, k int) int {
	if m.Enc == FP8 {
		return n/tileSize*ceilDiv(m.K, tileSize) + k/tileSize
	}
	return n*(m.K/blockSize) + k/blockSize
}

// widenRange writes elements k0..k1 of row n to dst. For FP4, k0 and k1 are even.
func (m *Matrix) widenRange(dst []float32, n, k0, k1 int) {
	row := m.Data[n*m.pitch() : (n+1)*m.pitch()]
	dst = dst[:k1-k0]
	switch m.Enc {
	case F32:
		for i := range dst {
			dst[i] = math.Float32frombits(binary.LittleEndian.Uint32(row[4*(k0+i):]))
		}
	case BF16:
		for i := range dst {
			dst[i] = formats.BF16ToFloat32(binary.LittleEndian.Uint16(row[2*(k0+i):]))
		}
	case FP8:
		for k := k0; k < k1; {
			end := min(k1, (k/tileSize+1)*tileSize)
			s := ue8m0(m.Scale[m.scaleIndex(n, k)])
			for ; k < end; k++ {
				dst[k-k0] = formats.E4M3ToFloat32(row[k]) * s
			}
		}
	case FP4:
		for k := k0; k < k1; {
			end := min(k1, (k/blockSize+1)*blockSize)
			s := ue8m0(m.Scale[m.scaleIndex(n, k)])
			for ; k < end; k += 2 {
				b := row[k/2]
				dst[k-k0] = formats.E2M1ToFloat32(b) * s
				dst[k-k0+1] = formats.E2M1ToFloat32(b>>4) * s
			}
		}
	}
}

// dotRange is the product of elements k0..k1 of row n with the same elements of x. It widens a block at a
// time, so that no scratch memory is needed.
func (m *Matrix) dotRange(n, k0, k1 int, x []float32) float32 {
	var block [tileSize]float32
	var sum float64
	for k := k0; k < k1; {
		end := min(k1, (k/tileSize+1)*tileSize)
		m.widenRange(block[:], n, k, end)
		sum += dot(block[:end-k], x[k:end])
		k = end
	}
	return float32(sum)
}

func ue8m0(b byte) float32 { return float32(formats.UE8M0ToFloat64(b)) }

func ceilDiv(a, b int) int { return (a + b - 1) / b }

// need panics unless an operand has the length that the kernel's shape asks for.
func need(kernel, operand string, got, want int) {
	if got != want {
		panic(fmt.Sprintf("cpu: %s: %s has %d elements, expected %d", kernel, operand, got, want))
	}
}
