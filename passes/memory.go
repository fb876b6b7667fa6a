package passes

import "flagc/ir"

// Report is what one rank holds, in bytes. Every figure is exact for the layout that flagc plans: weights and states
// follow from their types, workspace and communication from the places of values. What a driver, a runtime or a
// collective library takes beside is not in it.
type Report struct {
	Ranks         int    `json:"ranks"`
	Batch         int    `json:"batch"`
	Context       int    `json:"context"`
	Chunk         int    `json:"chunk"`
	Weights       []Part `json:"weights"` // by class, in the order of Classes
	States        []Part `json:"states"`  // by parameter set: caches and running states
	Prefill       int    `json:"workspace_prefill"`
	Decode        int    `json:"workspace_decode"`
	Communication int    `json:"communication"`
	Total         int    `json:"total"` // the larger workspace counts: calls take turns
	Basis         string `json:"basis"`
}

// Part is the bytes of one part of a whole.
type Part struct {
	Name  string `json:"name"`
	Bytes int    `json:"bytes"`
}

// basisPlanned says in reports how far their figures are to be trusted.
const basisPlanned = "exact, as planned"

// WeightBytes sums the weights.
func (r Report) WeightBytes() int { return sumParts(r.Weights) }

// StateBytes sums the states.
func (r Report) StateBytes() int { return sumParts(r.States) }

// Workspace is the larger of the two workspaces.
func (r Report) Workspace() int { return max(r.Prefill, r.Decode) }

func sumParts(parts []Part) int {
	sum := 0
	for _, p := range parts {
		sum += p.Bytes
	}
	return sum
}

// Memory reports on a module whose memory is planned.
func Memory(m *ir.Module) Report {
	if m.Memory == nil {
		panic("BUG: passes.Memory wants a module after plan-memory")
	}
	return report(m, *m.Memory)
}

// MemoryFor reports what a lowered module would come to for the sizes of opts, and leaves it as it is.
func MemoryFor(m *ir.Module, opts Options) (Report, error) {
	p, err := planFor(m, opts)
	if err != nil {
		return Report{}, err
	}
	return report(m, p.memory), nil
}

// TotalFor is the total of MemoryFor alone, for searches over sizes.
func TotalFor(m *ir.Module, opts Options) (int, error) {
	p, err := planFor(m, opts)
	if err != nil {
		return 0, err
	}
	return p.memory.Total(), nil
}

func planFor(m *ir.Module, opts Options) (*memoryPlan, error) {
	batch, context, chunk, err := opts.MemorySizes()
	if err != nil {
		return nil, err
	}
	return newMemoryPlan(m, ir.Memory{Batch: batch, Context: context, Chunk: chunk})
}

func report(m *ir.Module, memory ir.Memory) Report {
	r := Report{Ranks: m.Mesh.Ranks(), Batch: memory.Batch, Context: memory.Context, Chunk: memory.Chunk,
		Prefill: memory.Prefill, Decode: memory.Decode, Communication: memory.Communication, Total: memory.Total(),
		States: []Part{}, Basis: basisPlanned}
	bytes := map[Class]int{}
	classes := weightClasses(m)
	env := ir.Env{"b": memory.Batch, "m": memory.Context}
	for _, set := range m.Params {
		states := 0
		for _, w := range set.Weights {
			bytes[classes[w.Value]] += len(set.Instances) * w.Bytes()
		}
		for _, s := range set.States {
			n, _ := s.Value.Type.Bytes(env) // the plan has evaluated it before
			states += len(set.Instances) * n
		}
		if states > 0 {
			r.States = append(r.States, Part{set.Name, states})
		}
	}
	for _, c := range Classes {
		r.Weights = append(r.Weights, Part{string(c), bytes[c]})
	}
	return r
}

// Class is a kind of weight that memory and reading are counted by.
type Class string

// The classes of weights.
const (
	ClassExperts   Class = "routed experts"
	ClassLinears   Class = "linears" // quantised in the checkpoint
	ClassEmbedding Class = "embedding"
	ClassHead      Class = "head"
	ClassOther     Class = "others" // norms, gates, hyper-connections, compressors, tables
)

// Classes lists the classes of weights in the order of reports.
var Classes = []Class{ClassExperts, ClassLinears, ClassEmbedding, ClassHead, ClassOther}

// weightClasses tells the weights apart by what they are: rows of tensors are experts, other quantised matrices
// linears; of the whole model's own, one whose rows are looked up is an embedding, one that is multiplied with a head.
func weightClasses(m *ir.Module) map[*ir.Value]Class {
	m = m.Inline()
	out := map[*ir.Value]Class{}
	for _, set := range m.Params {
		for _, w := range set.Weights {
			switch {
			case w.IsMany():
				out[w.Value] = ClassExperts
			case w.Encoding().IsQuantised():
				out[w.Value] = ClassLinears
			default:
				out[w.Value] = ClassOther
			}
		}
	}
	for _, f := range m.Funcs {
		if !f.Params.HasInstance("") {
			continue
		}
		for _, in := range f.Body {
			for i, a := range in.Args {
				if a == nil || in.Op == nil || out[a] != ClassOther || len(a.Type.Dims) < 2 {
					continue
				}
				if _, _, ok := in.IndexedBy(i); ok {
					out[a] = ClassEmbedding
				} else if in.Op.Class == ir.Contraction {
					out[a] = ClassHead
				}
			}
		}
	}
	return out
}
