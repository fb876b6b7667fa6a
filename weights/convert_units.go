package weights

import (
	"flagc/ir"
	"runtime"
)

const (
	// unitBytes is about how much of a tensor is read at once. It is large enough that the cost of a read does not
	// show and small enough that what was read is still in the processor's cache when it is checked and written.
	unitBytes = 1 << 20
	// maxJobs bounds memory: with the widest rows of Pro, 32 jobs take some hundred MiB.
	maxJobs = 32
	// tensorMemory is about what the table of one tensor takes: its name, shape and entries in tables.
	tensorMemory = 700
	// baseMemory is what a program takes that does nothing.
	baseMemory = 48 << 20
)

// jobsOrDefault is how many units are converted at a time: as many as there are processors, unless jobs says.
func jobsOrDefault(jobs int) int {
	if jobs <= 0 {
		jobs = runtime.GOMAXPROCS(0)
	}
	return min(jobs, maxJobs)
}

// unit is some rows of one tensor, and their scales: what is read, converted and written at once.
type unit struct {
	item     *Item
	index    int // along the axis of many
	from, to int // rows of the stored matrix
}

// units divides the work. The order depends on the plan alone, so that a journal can number them.
func (p *Plan) units() []unit {
	var all []unit
	for _, it := range p.Items {
		height := it.unitRows()
		for index := range it.Index.Size {
			for from := 0; from < it.Rows.Size; from += height {
				all = append(all, unit{it, index, from, min(from+height, it.Rows.Size)})
			}
		}
	}
	return all
}

// unitRows is how many rows a unit has: whole tiles where there are scales.
func (it *Item) unitRows() int {
	step := 1
	if it.From.IsQuantised() {
		step = tile
	}
	perRow := max(1, it.Source[0].Bytes/int64(max(1, it.Rows.Size)))
	return max(1, int(unitBytes/perRow)/step) * step
}

// source is an empty matrix of the unit's rows as the checkpoint stores them.
func (u unit) source() matrix { return u.item.matrix(u.item.From, u.to-u.from, u.item.Cols.Size) }

// matrix is one without content.
func (it *Item) matrix(elem ir.Elem, rows, cols int) matrix {
	return matrix{elem: elem, width: elem.DType.Bits() / 8, rows: rows, cols: cols}
}

// bytes is the length of a matrix' codes and scales.
func (m *matrix) bytes() (codes, scales int) {
	codes = m.rows * m.codeBytes(m.cols)
	if m.elem.IsQuantised() {
		scales = (m.rows + m.elem.Rows - 1) / m.elem.Rows * m.perRow()
	}
	return codes, scales
}

// allocate lays a matrix out in a buffer that is large enough, and returns what is left of it.
func (m *matrix) allocate(buffer []byte) []byte {
	codes, scales := m.bytes()
	m.codes, buffer = buffer[:codes:codes], buffer[codes:]
	m.scales, buffer = buffer[:scales:scales], buffer[scales:]
	return buffer
}

// buffers is how long the buffers of one job are: for what it reads, and for what it makes of that.
func (p *Plan) buffers() (in, out int) {
	for _, it := range p.Items {
		rows := min(it.unitRows(), it.Rows.Size)
		from, to := it.matrix(it.From, rows, it.Cols.Size), it.matrix(it.To, rows, it.Cols.Size)
		codes, scales := from.bytes()
		in = max(in, codes+scales)
		codes, scales = to.bytes()
		out = max(out, codes+scales)
	}
	return in, out
}

// memory is about what a conversion takes at its peak.
func (p *Plan) memory(jobs int) int64 {
	in, out := p.buffers()
	tensors := 0
	for _, it := range p.Items {
		tensors += it.Index.Size * len(it.Source)
	}
	return baseMemory + int64(jobs)*int64(in+out) + int64(tensors)*tensorMemory
}
