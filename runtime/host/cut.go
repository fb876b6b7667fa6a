package host

import (
	"fmt"

	"flagc/runtime/cpu"
)

// layout is how a tensor's rows lie in memory: stored bytes hold packed columns, and one scale belongs to each
// block of rows×columns.
type layout struct {
	dtype   string // tag in the checkpoint
	stored  int    // bytes of one stored element
	packed  int    // columns in one stored element; 0 means 1
	rows    int    // of a scale block; 1 where there are no scales
	columns int
}

// Layouts of the encodings in checkpoints.
var layouts = map[cpu.Encoding]layout{
	cpu.F32:  {dtype: "F32", stored: 4, rows: 1, columns: 1},
	cpu.BF16: {dtype: "BF16", stored: 2, rows: 1, columns: 1},
	cpu.FP8:  {dtype: "F8_E4M3", stored: 1, rows: 128, columns: 128},
	cpu.FP4:  {dtype: "I8", stored: 1, packed: 2, rows: 1, columns: 32},
}

// scaled reports whether blocks have scales.
func (l layout) scaled() bool { return l.rows*l.columns > 1 }

// share is one of equal parts.
type share struct{ part, parts int }

// of is the range that the share has of n things.
func (s share) of(n int) (from, to int) { return n / s.parts * s.part, n / s.parts * (s.part + 1) }

// cut leaves a share of the rows in each of several groups of rows, or of the columns.
type cut struct {
	columns bool
	groups  int
	share
}

// block is a tensor of n×k elements, or a part of one.
type block struct {
	layout
	n, k        int
	first       int // the whole's number of row 0, where the rows follow each other
	data, scale []byte
}

// pitch is the bytes of a row.
func (b block) pitch() int { return b.k / max(b.packed, 1) * b.stored }

// scales is the shape of the scales.
func (b block) scales() []int { return []int{ceilDiv(b.n, b.rows), ceilDiv(b.k, b.columns)} }

// cut applies cuts one after the other.
func (b block) cut(cuts []cut) (block, error) {
	var err error
	for _, c := range cuts {
		if c.columns {
			b, err = b.cutColumns(c)
		} else {
			b, err = b.cutRows(c)
		}
		if err != nil {
			return b, err
		}
	}
	return b, nil
}

// cutRows leaves the memory where it is if there is one group, and copies otherwise.
func (b block) cutRows(c cut) (block, error) {
	group := b.n / c.groups
	if b.n%c.groups != 0 || group%(c.parts*b.rows) != 0 && c.parts > 1 {
		return b, fmt.Errorf("%d rows in %d groups cannot be divided among %d ranks in whole scale blocks of %d", b.n, c.groups,
			c.parts, b.rows)
	}
	if c.groups == 1 {
		from, _ := c.of(b.n)
		b.first += from
	}
	b.data = pickRows(b.data, b.pitch(), c.groups, c.share)
	if b.scaled() {
		b.scale = pickRows(b.scale, b.scales()[1], c.groups, c.share)
	}
	b.n /= c.parts
	return b, nil
}

// cutColumns copies, unless the rank has all of them.
func (b block) cutColumns(c cut) (block, error) {
	if b.k%(c.parts*b.columns) != 0 && c.parts > 1 {
		return b, fmt.Errorf("%d columns cannot be divided among %d ranks in whole scale blocks of %d", b.k, c.parts, b.columns)
	}
	b.data = pickColumns(b.data, b.pitch(), c.share)
	if b.scaled() {
		b.scale = pickColumns(b.scale, b.scales()[1], c.share)
	}
	b.k /= c.parts
	return b, nil
}

// pickRows takes a share of the rows, pitch bytes each, of each group.
func pickRows(x []byte, pitch, groups int, s share) []byte {
	size := len(x) / groups
	from, to := s.of(size / pitch)
	if groups == 1 {
		return x[from*pitch : to*pitch]
	}
	out := make([]byte, 0, len(x)/s.parts)
	for ; len(x) > 0; x = x[size:] {
		out = append(out, x[from*pitch:to*pitch]...)
	}
	return out
}

// pickColumns takes a share of the bytes of each row.
func pickColumns(x []byte, pitch int, s share) []byte {
	if s.parts == 1 {
		return x
	}
	from, to := s.of(pitch)
	out := make([]byte, 0, len(x)/s.parts)
	for ; len(x) > 0; x = x[pitch:] {
		out = append(out, x[from:to]...)
	}
	return out
}

func ceilDiv(a, b int) int { return (a + b - 1) / b }
