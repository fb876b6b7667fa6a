package weights

import (
	"encoding/binary"
	"hash/fnv"
	"math"
	"math/bits"
	"slices"

	"flagc/runtime/formats"
)

// stream is a counter-based generator: word i of a tensor depends on the seed, the tensor's name and i alone,
// so that any part of any tensor can be made on its own, in any order, with the same result everywhere.
type stream uint64

// weyl is 2^64 divided by the golden ratio, made odd: the step of a Weyl sequence.
const weyl = 0x9E3779B97F4A7C15

func newStream(seed uint64, name string) stream {
	h := fnv.New64a()
	h.Write([]byte(name))
	return stream(mix(mix(seed+weyl) ^ h.Sum64()))
}

// word is the i-th random word.
func (s stream) word(i uint64) uint64 { return mix(uint64(s) + (i+1)*weyl) }

// mix spreads every bit over the whole word: two rounds of multiply and xor-shift, with the constants of
// SplitMix64.
func mix(x uint64) uint64 {
	x = (x ^ x>>30) * 0xBF58476D1CE4E5B9
	x = (x ^ x>>27) * 0x94D049BB133111EB
	return x ^ x>>31
}

// filler makes the content of a tensor in groups of equal length. fill writes groups first, first+1, … into
// dst, whose length is a multiple of group.
type filler interface {
	group() int
	fill(dst []byte, first uint64)
}

// A bell is the sum of four uniform bytes, from 0 to bellMax: near enough to a normal distribution, and made
// of integers alone, so that no machine rounds it differently.
const (
	bellMax  = 4 * 255
	bellMean = bellMax / 2
	bellLane = 0x00FF00FF00FF00FF
)

// bellSigma is the standard deviation of a bell: four times the variance (256² - 1)/12 of a uniform byte.
var bellSigma = math.Sqrt((256*256 - 1) / 3.0)

// bells returns four bells in 16-bit lanes.
func (s stream) bells(group uint64) uint64 {
	a, b := s.word(2*group), s.word(2*group+1)
	return a&bellLane + a>>8&bellLane + b&bellLane + b>>8&bellLane
}

// floats fills a plain or FP8 tensor: element = table[bell].
type floats struct {
	stream
	width int // bytes of an element: 1, 2 or 4
	table [bellMax + 1]uint32
}

func (f *floats) group() int { return 4 * f.width }

func (f *floats) fill(dst []byte, first uint64) {
	for g := first; len(dst) > 0; g++ {
		lanes := f.bells(g)
		for range 4 {
			code := f.table[lanes&0xFFFF]
			lanes >>= 16
			switch f.width {
			case 1:
				dst[0] = byte(code)
			case 2:
				binary.LittleEndian.PutUint16(dst, uint16(code))
			default:
				binary.LittleEndian.PutUint32(dst, code)
			}
			dst = dst[f.width:]
		}
	}
}

// newFloats makes values of a mean and standard deviation. The explicit conversions keep compilers from
// fusing the product with the sum, which would round differently.
func newFloats(s stream, dtype string, mean, sigma float64) *floats {
	f := &floats{stream: s}
	step := float64(sigma / bellSigma)
	for i := range f.table {
		v := float64(mean + float64(float64(i-bellMean)*step))
		switch dtype {
		case "BF16":
			f.width, f.table[i] = 2, uint32(formats.BF16FromFloat64(v))
		case "F8_E4M3":
			f.width, f.table[i] = 1, uint32(formats.E4M3FromFloat64(v))
		default:
			f.width, f.table[i] = 4, math.Float32bits(float32(v))
		}
	}
	return f
}

// octets fills a tensor of bytes: element = table[random byte].
type octets struct {
	stream
	table [256]byte
}

func (o *octets) group() int { return 8 }

func (o *octets) fill(dst []byte, first uint64) {
	for g := first; len(dst) > 0; g++ {
		word := o.word(g)
		for i := range 8 {
			dst[i] = o.table[word&0xFF]
			word >>= 8
		}
		dst = dst[8:]
	}
}

// newOctets makes a table in which value i appears counts[i] times; the counts add up to 256.
func newOctets(s stream, counts []int, value func(i int) byte) *octets {
	return &octets{stream: s, table: frequencies(counts, value)}
}

func frequencies(counts []int, value func(i int) byte) (table [256]byte) {
	at := 0
	for i, n := range counts {
		for range n {
			table[at] = value(i)
			at++
		}
	}
	return table
}

// pairs fills a tensor of FP4 codes, two to a byte: table holds the pair for any two random bytes.
type pairs struct {
	stream
	table *[1 << 16]byte
}

func (p *pairs) group() int { return 4 }

func (p *pairs) fill(dst []byte, first uint64) {
	for g := first; len(dst) > 0; g++ {
		word := p.word(g)
		dst[0], dst[1] = p.table[word&0xFFFF], p.table[word>>16&0xFFFF]
		dst[2], dst[3] = p.table[word>>32&0xFFFF], p.table[word>>48]
		dst = dst[4:]
	}
}

// pairTable joins the codes that two bytes choose.
func pairTable(codes [256]byte) *[1 << 16]byte {
	table := new([1 << 16]byte)
	for i := range table {
		table[i] = formats.PackE2M1(codes[i&0xFF], codes[i>>8])
	}
	return table
}

// choices fills rows of distinct integers below n, as a table of experts has them.
type choices struct {
	stream
	n, perRow, width int // width is 4 or 8 bytes an entry
}

func (c *choices) group() int { return c.perRow * c.width }

func (c *choices) fill(dst []byte, first uint64) {
	row := make([]uint64, 0, c.perRow)
	for r := first; len(dst) > 0; r++ {
		own := stream(c.word(r))
		row = row[:0]
		for i := uint64(0); len(row) < c.perRow; i++ {
			pick, _ := bits.Mul64(own.word(i), uint64(c.n))
			if !slices.Contains(row, pick) {
				row = append(row, pick)
			}
		}
		for _, pick := range row {
			clear(dst[:c.width])
			binary.LittleEndian.PutUint32(dst, uint32(pick))
			dst = dst[c.width:]
		}
	}
}
