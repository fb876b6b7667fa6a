package passes

import "flagc/ir"

// Launches is what a module starts on a device.
type Launches struct {
	Functions []FunctionLaunches `json:"functions"`
	Entries   []EntryLaunches    `json:"entries"`
}

// FunctionLaunches counts what one function starts itself, in one call.
type FunctionLaunches struct {
	Function    string  `json:"function"` // with its mode
	Mode        ir.Mode `json:"mode"`
	Instances   int     `json:"instances"`          // layers of this kind
	Launches    int     `json:"launches"`           // kernels; without kernels every op but views
	Collectives int     `json:"collectives"`        // independent ones that stand side by side count as one
	Ops         int     `json:"ops"`                // but views and collectives
	Programs    int     `json:"programs,omitempty"` // what a device starts for the launches; see CountPrograms
}

// EntryLaunches counts what a function of the whole model starts, with all that it calls.
type EntryLaunches struct {
	Function    string  `json:"function"`
	Mode        ir.Mode `json:"mode"`
	Launches    int     `json:"launches"`
	Collectives int     `json:"collectives"`
	MetPerLayer float64 `json:"collectives_per_layer"`
	Layers      int     `json:"layers"`             // calls of layers
	PerLayer    float64 `json:"launches_per_layer"` // on average over them; 0 without layers
	Programs    int     `json:"programs,omitempty"`
}

// CountLaunches counts launches and collectives, function by function and for each entry.
func CountLaunches(m *ir.Module) Launches {
	var out Launches
	own := map[*ir.Func]FunctionLaunches{}
	for _, f := range m.Funcs {
		own[f] = countFunction(f)
		out.Functions = append(out.Functions, own[f])
	}
	for _, f := range m.Funcs {
		if !f.Params.HasInstance("") {
			continue
		}
		e := EntryLaunches{Function: f.FullName(), Mode: f.Mode}
		e.add(f, own)
		if e.Layers > 0 {
			e.PerLayer = float64(e.Launches-own[f].Launches) / float64(e.Layers)
			e.MetPerLayer = float64(e.Collectives-own[f].Collectives) / float64(e.Layers)
		}
		out.Entries = append(out.Entries, e)
	}
	return out
}

// add counts a function and all that it calls.
func (e *EntryLaunches) add(f *ir.Func, own map[*ir.Func]FunctionLaunches) {
	e.Launches += own[f].Launches
	e.Collectives += own[f].Collectives
	for _, in := range f.Body {
		if in.Callee == nil {
			continue
		}
		if !in.Callee.Params.HasInstance("") {
			e.Layers++
		}
		e.add(in.Callee, own)
	}
}

func countFunction(f *ir.Func) FunctionLaunches {
	n := FunctionLaunches{Function: f.FullName(), Mode: f.Mode, Instances: len(f.Params.Instances)}
	var meeting ir.Meeting
	for _, in := range f.Body {
		if meeting.Begins(in) {
			n.Collectives++
		}
		switch {
		case in.Kernel != nil:
			n.Launches++
			for _, op := range in.Kernel.Body {
				if !isView(op) {
					n.Ops++
				}
			}
		case !isBarrier(in) && !isView(in):
			n.Launches++
			n.Ops++
		}
	}
	return n
}
