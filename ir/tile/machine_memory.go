package tile

import (
	"encoding/binary"
	"math"
)

// memory is what a pointer points to.
type memory struct {
	param *Param
	data  []byte
	n     int // elements

	// Who touched each element, for Races: an instance's number plus one, many for several.
	writer, reader []int32
	epochOf        []int32 // how many barriers the writer had passed
	loaded         []loaded
	epoch          int32
	atomic         bool
}

const many = -1

// loaded is the last load of an element: by which instance, behind how many barriers, through which offsets.
type loaded struct {
	by, epoch int32
	through   *Value
}

func newMemory(q *Param, a Arg, opts Options, atomic bool) *memory {
	mem := &memory{param: q, data: a.Data, n: len(a.Data) / q.DType.Bytes(), atomic: atomic, epoch: 1}
	if opts.Races && q.Pointer && q.Access != In { // nothing stores to the others
		mem.writer, mem.reader, mem.epochOf = make([]int32, mem.n), make([]int32, mem.n), make([]int32, mem.n)
		mem.loaded = make([]loaded, mem.n)
	}
	return mem
}

func (mem *memory) outside(k int64, masked string) {
	trapf("element %d of %s%s, which has %d", k, mem.param.Name, masked, mem.n)
}

// read notes that an instance loads an element.
func (mem *memory) read(k, inst int, through *Value) {
	me := int32(inst) + 1
	mem.loaded[k] = loaded{me, mem.epoch, through}
	switch w := mem.writer[k]; {
	case w == me && mem.epochOf[k] == mem.epoch:
		trapf("element %d of %s is loaded, and the instance has stored it since its last barrier", k, mem.param.Name)
	case w != 0 && w != me && !mem.atomic:
		trapf("element %d of %s is loaded, and instance %d stores it", k, mem.param.Name, w-1)
	}
	if r := mem.reader[k]; r == 0 {
		mem.reader[k] = me
	} else if r != me {
		mem.reader[k] = many
	}
}

// wrote notes that an instance has stored an element, and whether that changed it. What a lane has loaded through the
// same offsets it may replace.
func (mem *memory) wrote(k, inst int, through *Value, changed bool) {
	me := int32(inst) + 1
	if l := mem.loaded[k]; changed && l.by == me && l.epoch == mem.epoch && l.through != through {
		trapf("element %d of %s is stored, and the instance has loaded it since its last barrier", k, mem.param.Name)
	}
	if w := mem.writer[k]; w != 0 && w != me && changed {
		trapf("element %d of %s is stored, and instance %d stores something else", k, mem.param.Name, w-1)
	}
	if r := mem.reader[k]; r != 0 && r != me && !mem.atomic {
		other := "several instances load it"
		if r != many {
			other = "another instance loads it"
		}
		trapf("element %d of %s is stored, and %s", k, mem.param.Name, other)
	}
	mem.writer[k], mem.epochOf[k] = me, mem.epoch
}

func (m *machine) barrier() func() {
	return func() {
		for _, mem := range m.mem {
			mem.epoch++
		}
	}
}

// access is where an op's lanes lie: the offsets and the mask, repeated to the shape of the op. Exactly one of
// short and long is used.
type access struct {
	m     *machine
	mem   *memory
	short []int32
	long  []int64
	mask  []bool // nil: all
	ready []func()
	at    []int
	live  bool // masked lanes must be in range too
}

func (m *machine) access(op *Op, shape []int, mask *Value) *access {
	a := &access{m: m, mem: m.mem[op.Param], at: m.lanes(length(shape)), live: m.opts.LiveMasked || m.gathers[op]}
	offsets := m.spread(op.Args[0], shape, &a.ready)
	a.short, a.long = offsets.i, offsets.l
	if mask != nil {
		a.mask = m.spread(mask, shape, &a.ready).b
	}
	return a
}

// spread is the tile of v repeated to a shape.
func (m *machine) spread(v *Value, shape []int, ready *[]func()) *tile {
	if v.Len() == length(shape) {
		return m.vals[v]
	}
	dims := make([]Dim, len(shape))
	for i, n := range shape {
		dims[i].Size = n
	}
	wide := &Value{DType: v.DType, Shape: dims}
	*ready = append(*ready, m.repeat(v, wide))
	t := m.vals[wide]
	t.refs = forever
	return t
}

// resolve yields each lane's element, or -1 where the lane is masked, and checks what the options ask for.
func (a *access) resolve() []int {
	run(a.ready)
	if a.short != nil {
		resolveLanes(a, a.short)
	} else {
		resolveLanes(a, a.long)
	}
	return a.at
}

func resolveLanes[T int32 | int64](a *access, offsets []T) {
	at, n := a.at[:len(offsets)], uint64(a.mem.n)
	if a.mask == nil {
		for i, k := range offsets {
			if uint64(k) >= n {
				a.mem.outside(int64(k), "")
			}
			at[i] = int(k)
		}
		return
	}
	for i, on := range a.mask[:len(offsets)] {
		k := offsets[i]
		if uint64(k) >= n && (on || a.live) {
			a.mem.outside(int64(k), map[bool]string{false: " in a masked lane"}[on])
		}
		if !on {
			k = -1
		}
		at[i] = int(k)
	}
}

// lanes is room for n elements' numbers, shared by all accesses.
func (m *machine) lanes(n int) []int {
	if n > len(m.at) {
		m.at = make([]int, n)
	}
	return m.at[:n]
}

func (m *machine) load(op *Op) func() {
	r, mask := op.Results[0], op.Args[1]
	a, to := m.access(op, r.Sizes(), mask), m.place(r)
	other, garbage := op.Float, int64(0x5555555555555555)
	if m.opts.PoisonMasked {
		other = math.NaN()
	} else if !r.DType.IsFloat() && !math.IsNaN(other) {
		garbage = int64(other)
	}
	switch to.key.kind {
	case kindF:
		return loadRun(op, a, to.f, roundTo(r.DType, float32(other)), readFloats(r.DType))
	case kindL:
		return loadRun(op, a, to.l, garbage, readLongs)
	}
	if r.DType == I8 {
		return loadRun(op, a, to.i, int32(int8(garbage)), readBytes)
	}
	return loadRun(op, a, to.i, int32(garbage), readInts)
}

func loadRun[T elem](op *Op, a *access, to []T, other T, read func(to []T, data []byte, at []int, other T)) func() {
	return func() {
		a.m.now = op
		at := a.resolve()
		if a.mem.writer != nil {
			for _, k := range at {
				if k >= 0 {
					a.mem.read(k, a.m.inst, op.Args[0])
				}
			}
		}
		read(to, a.mem.data, at, other)
	}
}

func (m *machine) store(op *Op) func() {
	shape, mask := op.Args[0].Shape, op.Args[2]
	shape, _ = joint(shape, op.Args[1].Shape)
	if mask != nil {
		shape, _ = joint(shape, mask.Shape)
	}
	sizes := (&Value{Shape: shape}).Sizes()
	a := m.access(op, sizes, mask)
	x := m.spread(op.Args[1], sizes, &a.ready)
	switch d := op.Param.DType; {
	case x.key.kind == kindF:
		return storeRun(op, a, x.f, writeFloats(d))
	case x.key.kind == kindL:
		return storeRun(op, a, x.l, writeLongs)
	case d == I8:
		return storeRun(op, a, x.i, writeBytes)
	default:
		return storeRun(op, a, x.i, writeInts)
	}
}

func storeRun[T elem](op *Op, a *access, x []T, write func(data []byte, at []int, x []T)) func() {
	width := op.Param.DType.Bytes()
	return func() {
		a.m.now = op
		at := a.resolve()
		if a.mem.writer == nil {
			write(a.mem.data, at, x)
			return
		}
		for i, k := range at {
			if k < 0 {
				continue
			}
			var before [8]byte
			now := a.mem.data[k*width : (k+1)*width]
			copy(before[:], now)
			write(a.mem.data, at[i:i+1], x[i:i+1])
			a.mem.wrote(k, a.m.inst, op.Args[0], string(before[:width]) != string(now))
		}
	}
}

func (m *machine) atomicAdd(op *Op) func() {
	a, x, to := m.access(op, nil, nil), m.vals[op.Args[1]], m.place(op.Results[0])
	return func() {
		m.now = op
		p := a.mem.data[4*a.resolve()[0]:]
		old := int32(binary.LittleEndian.Uint32(p))
		to.i[0] = old
		binary.LittleEndian.PutUint32(p, uint32(old+x.i[0]))
	}
}
