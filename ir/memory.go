package ir

// Memory is what a build's memory is laid out for, and what it comes to on one rank, in bytes. The values that
// need room say in their Place where it is.
type Memory struct {
	Batch   int // sequences at once: the size b
	Context int // the longest sequence, which the caches hold: the size m
	Chunk   int // most tokens of one prefill call: the size s there

	Weights       int // elements and scales as a rank keeps them
	States        int // caches and running states of all layers
	Prefill       int // workspace of a prefill call
	Decode        int // workspace of a decode call, at any position of the context
	Communication int // buffers that collectives read and write
}

// Workspace is the bytes of the one region that prefill and decode calls take turns in.
func (m *Memory) Workspace() int { return max(m.Prefill, m.Decode) }

// Total is all bytes of a rank that the plan knows: weights, states, workspace and communication.
func (m *Memory) Total() int { return m.Weights + m.States + m.Workspace() + m.Communication }

// Region is where a value's room is.
type Region string

// A value lies in the workspace, in the communication buffers, or where the caller wants a result to be. A collective is
// over on a rank when its buffers may be written again, whatever other ranks still do: that is for the implementation
// of collectives to see to, as libraries have it.
const (
	NoRegion      Region = ""
	Workspace     Region = "workspace"
	Communication Region = "comm"
	Result        Region = "out"
)

// Place is the room of a value in a function: an offset in bytes from where the function's part of the region
// begins, or the index of the function's result.
type Place struct {
	Region Region
	Offset int
}

// Alignment is what offsets are multiples of, in bytes. Copy engines, vector loads and cache lines of every
// machine at hand ask for 128 or less; allocators of devices hand out 256.
const Alignment = 256

// Align rounds bytes up to the next offset that a value can have.
func Align(bytes int) int { return (bytes + Alignment - 1) / Alignment * Alignment }

// Frame is room in both regions: how much a function needs, or where what it calls begins.
type Frame struct {
	Workspace     int
	Communication int
}

// In is the frame's figure for one region.
func (f Frame) In(r Region) int {
	if r == Communication {
		return f.Communication
	}
	return f.Workspace
}

// set gives the frame its figure for one region.
func (f *Frame) set(r Region, bytes int) {
	if r == Communication {
		f.Communication = bytes
	} else {
		f.Workspace = bytes
	}
}

// Bytes is what a value of the type takes: its elements packed, and behind them one scale for each scale
// block, where all leading axes together count rows. A part of a sum is carried in float32, as devices do.
func (t Type) Bytes(env Env) (int, error) {
	shape, err := t.Shape(env)
	if err != nil {
		return 0, err
	}
	rows, cols := 1, 1
	for i, n := range shape {
		if i == len(shape)-1 {
			cols = n
		} else {
			rows *= n
		}
	}
	bits := t.Elem.DType.Bits()
	if t.Partial == PartialSum {
		bits = max(bits, F32.Bits())
	}
	bytes := (rows*cols*bits + 7) / 8
	if e := t.Elem; e.IsQuantised() {
		blocks := ((rows + e.Rows - 1) / e.Rows) * ((cols + e.Cols - 1) / e.Cols)
		bytes += blocks * e.Scale.Bits() / 8
	}
	return bytes, nil
}

// Bytes is what a rank keeps of the weight in one instance, scales included.
func (w *Weight) Bytes() int {
	t, count := w.Value.Type, 1
	if w.IsMany() {
		count, _ = t.Dims[0].Size.IsConst()
		t.Dims = t.Dims[1:]
	}
	bytes, _ := t.Bytes(nil) // the sizes of a weight are constants
	return count * bytes
}

// Extents evaluates sizes at their largest, for a batch, a context and a prefill chunk.
type Extents struct {
	memory  Memory
	prefill []Env
	decode  []Env
}

// NewExtents prepares for the three sizes of memory. A decode call may stand at any position. What it holds grows with
// the position, but for what comes and goes with it, as a compressed entry does that each q-th token completes: so
// next to the last position it is looked at where such windows end, for every q that a size of the module divides by.
func NewExtents(m *Module, memory Memory) *Extents {
	x := &Extents{memory: memory}
	x.prefill = []Env{{"b": memory.Batch, "s": memory.Chunk, "p": 0, "m": memory.Context}}
	seen := map[int]bool{}
	for _, q := range append([]int{1}, divisors(m)...) {
		p := memory.Context/q*q - 1
		if p > 0 && !seen[p] {
			seen[p] = true
			x.decode = append(x.decode, Env{"b": memory.Batch, "s": 1, "p": p, "m": memory.Context})
		}
	}
	return x
}

// divisors lists the constants by which sizes of results are divided, in the order of the text.
func divisors(m *Module) []int {
	var out []int
	seen := map[int]bool{}
	var walk func(s *Size)
	walk = func(s *Size) {
		if s.a == nil {
			return
		}
		if q, ok := s.b.IsConst(); ok && s.op == '/' && !seen[q] {
			seen[q] = true
			out = append(out, q)
		}
		walk(s.a)
		walk(s.b)
	}
	for _, f := range m.Funcs {
		for _, in := range f.Body {
			for _, v := range in.Results {
				for i := range v.Type.Dims {
					walk(&v.Type.Dims[i].Size)
				}
			}
		}
	}
	return out
}

// Bytes is the most that a value of the type takes in a call of the mode.
func (x *Extents) Bytes(mode Mode, t Type) (int, error) {
	envs := x.prefill
	if mode == Decode {
		envs = x.decode
	}
	most := 0
	for _, env := range envs {
		n, err := t.Bytes(env)
		if err != nil {
			return 0, err
		}
		most = max(most, n)
	}
	return most, nil
}

// Persistent sums what a rank keeps between calls: the bytes of weights and those of states.
func (x *Extents) Persistent(m *Module) (weights, states int, err error) {
	env := Env{"b": x.memory.Batch, "m": x.memory.Context}
	for _, set := range m.Params {
		for _, w := range set.Weights {
			weights += len(set.Instances) * w.Bytes()
		}
		for _, s := range set.States {
			n, err := s.Value.Type.Bytes(env)
			if err != nil {
				return 0, 0, err
			}
			states += len(set.Instances) * n
		}
	}
	return weights, states, nil
}

// DropMemory takes the memory plan out of the module: passes that change what it was made for do so.
func (m *Module) DropMemory() {
	m.Memory = nil
	for _, f := range m.Funcs {
		f.Calls = Frame{}
		for _, v := range f.Args {
			v.Place = Place{}
		}
		for _, in := range f.Body {
			for _, v := range in.Results {
				v.Place = Place{}
			}
		}
	}
}
