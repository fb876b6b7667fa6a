package ir

// mesh holds [mesh1] for what functions start from: weights, states and arguments.
func (v *verifier) mesh() {
	for _, s := range v.mod.Params {
		for _, w := range s.Weights {
			v.onMesh(nil, w.Value)
		}
		for _, st := range s.States {
			v.onMesh(nil, st.Value)
		}
	}
	for _, f := range v.mod.Funcs {
		for _, a := range f.Args {
			v.onMesh(nil, a)
		}
	}
}

// onMesh holds [mesh1]: what a type splits, it splits over ranks that there are, and over each once.
func (v *verifier) onMesh(in *Instr, val *Value) {
	if text := v.mod.Mesh.Check(val.Type); text != "" {
		v.report(in, "mesh1", "%s: %s", val.Ref(), text)
	}
}

// collective holds [mesh1] for results and [mesh2]: the communicator of a collective exists, and an axis that is
// gathered over one axis of the mesh, of all that split it, is gathered over the last, since only then are the
// parts of a communicator neighbours. Every rank runs the same instructions in the same order, so that all members
// of a communicator issue each of its collectives.
func (v *verifier) collective(in *Instr) {
	for _, r := range in.Results {
		v.onMesh(in, r)
	}
	if in.Op.Collective == nil || len(in.Args) == 0 || in.Args[0] == nil {
		return
	}
	over, mesh := in.Attrs.Str("over"), v.mod.Mesh
	if mesh.Size(over) < 2 || over != "" && len(mesh) < 2 {
		v.report(in, "mesh2", "there is no communicator over %q in the mesh (%s)", over, mesh)
		return
	}
	axis := in.Attrs.Int("axis")
	if over == "" || in.Op.Attr("axis") == nil || axis < 0 || axis >= len(in.Args[0].Type.Dims) {
		return
	}
	if d := in.Args[0].Type.Dims[axis]; d.Split > 0 && d.Over == "" && mesh.order(over) != len(mesh)-1 {
		v.report(in, "mesh2", "axis %s is split over all ranks, so that only the last axis of the mesh (%s) has neighbouring parts",
			d.Name, mesh[len(mesh)-1].Name)
	}
}
