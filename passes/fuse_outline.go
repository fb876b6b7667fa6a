package passes

import (
	"fmt"
	"sort"
	"strings"

	"flagc/ir"
)

// outliner writes launches in the place of ops, and their kernels.
type outliner struct {
	m       *ir.Module
	kernels []*ir.Func
	equal   map[string]*ir.Func // kernels by what they compute, without names
	names   map[string]bool

	s      *schedule
	inside []bool                  // of each view, whether it is part of a launch
	now    map[*ir.Value]*ir.Value // values of the function to what takes their place
}

func newOutliner(m *ir.Module) *outliner {
	return &outliner{m: m, equal: map[string]*ir.Func{}, names: map[string]bool{}}
}

// function rewrites a function: launches in the order of levels, and between them what is none.
func (o *outliner) function(s *schedule) {
	o.s, o.now = s, map[*ir.Value]*ir.Value{}
	o.findInside()
	var steps []slot
	groups := map[int][]*ir.Instr{}
	for i, in := range s.body {
		if isBarrier(in) || isView(in) && !o.inside[i] {
			steps = append(steps, slot{2*o.after(i) + 1, i, in})
			continue
		}
		level := s.level[i]
		if groups[level] == nil {
			steps = append(steps, slot{at: 2 * level})
		}
		groups[level] = append(groups[level], in)
	}
	sort.SliceStable(steps, func(i, j int) bool {
		return steps[i].at < steps[j].at || steps[i].at == steps[j].at && steps[i].index < steps[j].index
	})
	s.f.Body = nil
	for _, p := range steps {
		in := p.in
		if in == nil {
			in = o.launch(groups[p.at/2])
		} else {
			o.rename(in.Args)
		}
		s.f.Body = append(s.f.Body, in)
	}
	o.rename(s.f.Return)
	for i, u := range s.f.Updates {
		if v := o.now[u.Value]; v != nil {
			s.f.Updates[i].Value = v
		}
	}
}

// slot is one instruction of the rewritten function: the launch of level at/2, or what stands behind it.
type slot struct {
	at, index int
	in        *ir.Instr // nil for a launch
}

func (o *outliner) rename(values []*ir.Value) {
	for i, v := range values {
		if w := o.now[v]; w != nil {
			values[i] = w
		}
	}
}

// findInside puts a view into a launch where the launch computes what it shows and reads it, or where nothing else
// reads it.
func (o *outliner) findInside() {
	s := o.s
	o.inside = make([]bool, len(s.body))
	for i := len(s.body) - 1; i >= 0; i-- {
		in := s.body[i]
		if !isView(in) {
			continue
		}
		here, elsewhere := false, s.kept[in.Results[0]]
		for _, j := range s.users[in.Results[0]] {
			user := s.body[j]
			same := s.level[j] == s.level[i] && !isBarrier(user) && (!isView(user) || o.inside[j])
			here, elsewhere = here || same, elsewhere || !same
		}
		def := in.Args[0].Def
		made := def != nil && !isBarrier(def) && s.level[s.index[def]] == s.level[i]
		o.inside[i] = here && (made || !elsewhere)
	}
}

// after is the level behind which a barrier or a view outside launches stands.
func (o *outliner) after(i int) int {
	in := o.s.body[i]
	if isBarrier(in) {
		return o.s.level[i]
	}
	def := in.Args[0].Def
	switch {
	case def == nil:
		return -1
	case isView(def) && !o.inside[o.s.index[def]]:
		return o.after(o.s.index[def])
	}
	return o.s.level[o.s.index[def]]
}

// launch makes a kernel of the instructions, or finds an equal one, and returns its launch.
func (o *outliner) launch(body []*ir.Instr) *ir.Instr {
	k := &kernel{o: o, f: &ir.Func{Mode: o.s.f.Mode}, now: map[*ir.Value]*ir.Value{}, used: map[string]bool{}}
	k.outline(body)
	key := k.key()
	if have := o.equal[key]; have != nil {
		k.f = have
	} else {
		k.f.Name = o.name(k.words(body), k.f.Mode)
		o.equal[key] = k.f
		o.kernels = append(o.kernels, k.f)
	}
	in := &ir.Instr{Kernel: k.f, Args: k.operands, Span: k.span}
	for i, v := range k.yields {
		r := &ir.Value{Kind: ir.ResultValue, Name: v.Name, Type: v.Type, Def: in, Span: v.Span}
		o.now[v] = r
		in.Results = append(in.Results, r)
		for _, t := range v.Def.Traced() {
			if v.Def.Results[t.Result] == v {
				in.AddTrace(i, t.Name)
			}
		}
	}
	o.rename(in.Args)
	return in
}

// name makes a kernel's name unique within its mode: the first of the given ones that is free, or a number behind
// the last.
func (o *outliner) name(words []string, mode ir.Mode) string {
	for _, w := range words {
		if !o.names[w+"."+string(mode)] {
			o.names[w+"."+string(mode)] = true
			return w
		}
	}
	for i := 1; ; i++ {
		if name := fmt.Sprintf("%s.%d", words[len(words)-1], i); !o.names[name+"."+string(mode)] {
			o.names[name+"."+string(mode)] = true
			return name
		}
	}
}

// short is the end of a value's name that is the model's word: "attn.wq_b" is wq_b, "y.1" is y.
func short(name string, words int) string {
	parts := strings.Split(name, ".")
	for len(parts) > 1 && strings.Trim(parts[len(parts)-1], "0123456789") == "" {
		parts = parts[:len(parts)-1]
	}
	return strings.Join(parts[max(0, len(parts)-words):], ".")
}
