package ir

import "slices"

// memory holds [mem1] to [mem5].
func (v *verifier) memory() {
	v.fn = nil
	mem := v.mod.Memory
	if mem == nil {
		v.unplanned()
		return
	}
	if mem.Batch < 1 || mem.Chunk < 1 || mem.Context < mem.Chunk {
		v.report(nil, "mem5", "memory is planned for batch %d, context %d and chunk %d: each is at least 1, and the chunk is part "+
			"of the context", mem.Batch, mem.Context, mem.Chunk)
		return
	}
	p := &planCheck{verifier: v, extents: NewExtents(v.mod, *mem), called: v.mod.Called(), frames: map[*Func]Frame{}}
	var sum Memory
	for _, f := range v.mod.Funcs {
		frame := p.function(f)
		if p.called[f] {
			continue
		}
		if sum.Communication = max(sum.Communication, frame.Communication); f.Mode == Decode {
			sum.Decode = max(sum.Decode, frame.Workspace)
		} else {
			sum.Prefill = max(sum.Prefill, frame.Workspace)
		}
	}
	v.fn = nil
	p.totals(sum)
}

// unplanned reports places in a module without a plan.
func (v *verifier) unplanned() {
	for _, f := range v.mod.Funcs {
		v.fn = f
		for _, a := range f.Args {
			if a.Place != (Place{}) {
				v.report(nil, "mem1", "%s has a place, but memory is not planned", a.Ref())
			}
		}
		for _, in := range f.Body {
			for _, r := range in.Results {
				if r.Place != (Place{}) {
					v.report(in, "mem1", "%s has a place, but memory is not planned", r.Ref())
				}
			}
		}
	}
}

// planCheck is the state of checking a plan.
type planCheck struct {
	*verifier
	extents *Extents
	called  map[*Func]bool
	frames  map[*Func]Frame
}

// function checks the places of one function, after those that it calls, and returns the room that it needs.
func (p *planCheck) function(f *Func) Frame {
	if frame, ok := p.frames[f]; ok {
		return frame
	}
	for _, in := range f.Body {
		if in.Callee != nil {
			p.function(in.Callee)
		}
	}
	p.fn = f
	rooms, err := p.extents.Rooms(f, p.called[f])
	if err != nil {
		p.report(nil, "mem5", "%v", err)
		return Frame{}
	}
	p.places(f, rooms)
	for i, r := range rooms {
		for _, s := range rooms[:i] {
			p.pair(f, s, r)
		}
	}
	frame := f.FrameOf(rooms, p.frames)
	for i, in := range f.Body {
		if in.Callee != nil {
			p.call(f, i, in, rooms)
		}
	}
	p.frames[f] = frame
	return frame
}

// FrameOf is the room that a function needs for the given rooms in their places and for what it calls, whose frames
// are given.
func (f *Func) FrameOf(rooms []*Room, callees map[*Func]Frame) Frame {
	var frame Frame
	for _, r := range rooms {
		if at := r.Value.Place; at.Region == Workspace || at.Region == Communication {
			frame.set(at.Region, max(frame.In(at.Region), at.Offset+r.Bytes))
		}
	}
	for _, in := range f.Body {
		if in.Callee != nil {
			frame.Workspace = max(frame.Workspace, f.Calls.Workspace+callees[in.Callee].Workspace)
			frame.Communication = max(frame.Communication, f.Calls.Communication+callees[in.Callee].Communication)
		}
	}
	return Frame{Align(frame.Workspace), Align(frame.Communication)}
}

// places holds [mem1].
func (p *planCheck) places(f *Func, rooms []*Room) {
	needs := map[*Value]*Room{}
	for _, r := range rooms {
		needs[r.Value] = r
		at := r.Value.Place
		switch {
		case at.Region == NoRegion:
			p.report(r.Value.Def, "mem1", "%s has no place", r.Value.Ref())
		case !p.fits(f, r, at):
			p.report(r.Value.Def, "mem1", "%s cannot be at%s: it belongs into %s", r.Value.Ref(), at.suffix(), r.home())
		case at.Region != Result && (at.Offset < 0 || at.Offset%Alignment != 0):
			p.report(r.Value.Def, "mem1", "%s is at offset %d, no multiple of %d", r.Value.Ref(), at.Offset, Alignment)
		}
	}
	none := func(val *Value, in *Instr) {
		if needs[val] == nil && val.Place != (Place{}) {
			p.report(in, "mem1", "%s has a place but needs none: it lies with another value or with the caller", val.Ref())
		}
	}
	for _, a := range f.Args {
		none(a, nil)
	}
	for _, in := range f.Body {
		for _, r := range in.Results {
			none(r, in)
		}
	}
}

// fits reports whether a value may be at a place. One of the workspace may also lie where the caller wants a result
// that later takes its place.
func (p *planCheck) fits(f *Func, r *Room, at Place) bool {
	if r.Region == Workspace && at.Region == Result && p.called[f] && at.Offset < len(f.Results) {
		room, err := p.extents.Bytes(f.Mode, f.Results[at.Offset])
		return err == nil && r.Bytes <= room
	}
	return r.Region == at.Region && (at.Region != Result || at.Offset == r.Index)
}

func (r *Room) home() string {
	switch r.Region {
	case Result:
		return Place{Result, r.Index}.suffix()[1:]
	case Communication:
		return "the communication buffers"
	}
	return "the workspace"
}

// pair holds [mem2] and [mem3] for two values, the earlier first.
func (p *planCheck) pair(f *Func, s, r *Room) {
	if s.Last < r.First || r.Last < s.First || !overlap(s, r) {
		return
	}
	if s.Last > r.First || r.First < 0 || r.First == s.First {
		p.report(r.Value.Def, "mem2", "%s lies over %s, which is still needed", r.Value.Ref(), s.Value.Ref())
		return
	}
	if s.Value.Place != r.Value.Place || !f.Body[r.First].takesOver(r.Value, s.Value) {
		p.report(r.Value.Def, "mem3", "%s may not overwrite %s", r.Value.Ref(), s.Value.Ref())
	}
}

func overlap(s, r *Room) bool {
	a, b := s.Value.Place, r.Value.Place
	switch {
	case a.Region != b.Region || a.Region == NoRegion || s.Bytes == 0 || r.Bytes == 0:
		return false
	case a.Region == Result:
		return a.Offset == b.Offset
	}
	return a.Offset < b.Offset+r.Bytes && b.Offset < a.Offset+s.Bytes
}

// takesOver reports whether result r may lie where the operand with root s lay: the op must allow it for every
// operand that shows s.
func (in *Instr) takesOver(r, s *Value) bool {
	i, found := slices.Index(in.Results, r), false
	for j, a := range in.Args {
		if a != nil && a.Root() == s {
			if !a.isWhole() || !in.MayOverwrite(i, j) {
				return false
			}
			found = true
		}
	}
	return found
}

// TakesOver reports whether a result of the instruction may lie where value s lies, which the instruction reads and
// nothing after it: no other result may have been put there.
func (in *Instr) TakesOver(r *Value, s *Room, at int) bool {
	return s.Last == at && s.First < at && in.takesOver(r, s.Value)
}

// call holds [mem4] for the call at instruction i.
func (p *planCheck) call(f *Func, i int, in *Instr, rooms []*Room) {
	frame := p.frames[in.Callee]
	for _, r := range rooms {
		at := r.Value.Place
		if !r.Alive(i) || at.Region != Workspace && at.Region != Communication {
			continue
		}
		if frame.In(at.Region) > 0 && at.Offset+r.Bytes > f.Calls.In(at.Region) {
			p.report(in, "mem4", "%s reaches into the room of %s, which begins at %d", r.Value.Ref(), in.Callee.FullName(),
				f.Calls.In(at.Region))
		}
	}
}

// totals holds [mem5].
func (p *planCheck) totals(sum Memory) {
	var err error
	if sum.Weights, sum.States, err = p.extents.Persistent(p.mod); err != nil {
		p.report(nil, "mem5", "%v", err)
		return
	}
	have := p.mod.Memory
	for _, t := range []struct {
		what       string
		have, want int
	}{
		{"weights", have.Weights, sum.Weights}, {"states", have.States, sum.States}, {"prefill", have.Prefill, sum.Prefill},
		{"decode", have.Decode, sum.Decode}, {"communication", have.Communication, sum.Communication},
	} {
		if t.have != t.want {
			p.report(nil, "mem5", "the memory line says %s=%d, but it comes to %d", t.what, t.have, t.want)
		}
	}
}
