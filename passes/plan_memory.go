package passes

import (
	"fmt"

	"flagc/ir"
)

// What memory is planned for if the user does not say: one sequence, as long as most conversations with documents
// in them, whose prompt arrives in calls of at most 4096 tokens.
const (
	DefaultBatch   = 1
	DefaultContext = 65536
	DefaultChunk   = 4096
)

// MemorySizes are what memory is planned for, defaults filled in. A context below the default chunk bounds it.
func (o Options) MemorySizes() (batch, context, chunk int, err error) {
	for _, s := range []struct {
		name string
		n    int
	}{{"batch", o.Batch}, {"context", o.Context}, {"chunk", o.Chunk}} {
		if s.n < 0 || s.n > maxTokens {
			return 0, 0, 0, fmt.Errorf("%s %d: expected 1 to %d, or 0 for the default", s.name, s.n, maxTokens)
		}
	}
	batch, context, chunk = or(o.Batch, DefaultBatch), or(o.Context, DefaultContext), o.Chunk
	if chunk == 0 {
		chunk = min(DefaultChunk, context)
	}
	if chunk > context {
		return 0, 0, 0, fmt.Errorf("chunk %d: a prefill call of more tokens than the context of %d holds", chunk, context)
	}
	return batch, context, chunk, nil
}

// maxTokens bounds batch, context and chunk, so that no product of sizes overflows.
const maxTokens = 1 << 24

func or(n, otherwise int) int {
	if n == 0 {
		return otherwise
	}
	return n
}

// planMemory gives every value that needs room a place, and the module its totals. What one function calls begins
// behind what lives through its calls, so the layers of a model take turns in the same room.
func planMemory(m *ir.Module, opts Options) error {
	batch, context, chunk, err := opts.MemorySizes()
	if err != nil {
		return err
	}
	p, err := newMemoryPlan(m, ir.Memory{Batch: batch, Context: context, Chunk: chunk})
	if err != nil {
		return err
	}
	m.DropMemory()
	p.write(m)
	return nil
}

// memoryPlan is a memory plan beside its module.
type memoryPlan struct {
	memory  ir.Memory
	extents *ir.Extents
	called  map[*ir.Func]bool
	funcs   map[*ir.Func]*funcPlan
}

// newMemoryPlan makes a plan for the sizes of memory and leaves the module as it is.
func newMemoryPlan(m *ir.Module, memory ir.Memory) (*memoryPlan, error) {
	p := &memoryPlan{memory: memory, extents: ir.NewExtents(m, memory), called: m.Called(), funcs: map[*ir.Func]*funcPlan{}}
	var err error
	if p.memory.Weights, p.memory.States, err = p.extents.Persistent(m); err != nil {
		return nil, err
	}
	for _, f := range m.Funcs {
		fp, err := p.function(f)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", f.FullName(), err)
		}
		if p.called[f] {
			continue
		}
		t := &p.memory
		if t.Communication = max(t.Communication, fp.frame.Communication); f.Mode == ir.Decode {
			t.Decode = max(t.Decode, fp.frame.Workspace)
		} else {
			t.Prefill = max(t.Prefill, fp.frame.Workspace)
		}
	}
	return p, nil
}

// write puts the plan into the module.
func (p *memoryPlan) write(m *ir.Module) {
	m.Memory = &p.memory
	for _, f := range m.Funcs {
		fp := p.funcs[f]
		f.Calls = fp.calls
		for _, b := range fp.buffers {
			for _, r := range b.rooms {
				r.Value.Place = b.place
			}
		}
	}
}

// funcPlan is the plan of one function.
type funcPlan struct {
	buffers []*buffer
	calls   ir.Frame // where what it calls begins
	frame   ir.Frame // what it needs, with all that it calls
}

// buffer is room that values have one after the other, each taking over in place.
type buffer struct {
	rooms       []*ir.Room
	first, last int
	bytes       int
	place       ir.Place
	fixed       bool // placed already
}

// function plans f after what it calls.
func (p *memoryPlan) function(f *ir.Func) (*funcPlan, error) {
	if fp := p.funcs[f]; fp != nil {
		return fp, nil
	}
	callees := ir.Frame{} // the most that any call needs
	var calls []int
	for i, in := range f.Body {
		if in.Callee == nil {
			continue
		}
		c, err := p.function(in.Callee)
		if err != nil {
			return nil, err
		}
		calls = append(calls, i)
		callees.Workspace = max(callees.Workspace, c.frame.Workspace)
		callees.Communication = max(callees.Communication, c.frame.Communication)
	}
	rooms, err := p.extents.Rooms(f, p.called[f])
	if err != nil {
		return nil, err
	}
	fp := &funcPlan{buffers: buffers(f, rooms)}
	fp.calls.Workspace, fp.frame.Workspace = fp.region(ir.Workspace, calls, callees.Workspace)
	fp.calls.Communication, fp.frame.Communication = fp.region(ir.Communication, calls, callees.Communication)
	p.funcs[f] = fp
	return fp, nil
}

// buffers joins values that can take over each other's room.
func buffers(f *ir.Func, rooms []*ir.Room) []*buffer {
	var out []*buffer
	of := map[*ir.Value]*buffer{}
	for _, r := range rooms {
		b := takeOver(f, r, of)
		if b == nil {
			b = &buffer{first: r.First, bytes: r.Bytes}
			out = append(out, b)
		}
		b.rooms, b.last = append(b.rooms, r), r.Last
		if r.Region == ir.Result {
			b.place, b.fixed = ir.Place{Region: ir.Result, Offset: r.Index}, true
		} else if !b.fixed {
			b.place.Region = r.Region
		}
		of[r.Value] = b
	}
	return out
}

// takeOver is the buffer of an operand that dies where r begins and that r may overwrite; nil if there is none.
// Communication buffers keep to themselves: other ranks may still read them.
func takeOver(f *ir.Func, r *ir.Room, of map[*ir.Value]*buffer) *buffer {
	if r.Region == ir.Communication || r.First < 0 {
		return nil
	}
	in := f.Body[r.First]
	for _, a := range in.Args {
		if a == nil {
			continue
		}
		b := of[a.Root()]
		if b == nil || b.fixed || b.last != r.First || b.bytes != r.Bytes {
			continue
		}
		if s := b.rooms[len(b.rooms)-1]; s.Region == ir.Workspace && in.TakesOver(r.Value, s, r.First) {
			return b
		}
	}
	return nil
}
