package gohost

import (
	"bytes"
	"fmt"
	"math"
	"path"
	"slices"
	"strings"

	"flagc/ir"
	"flagc/ir/ops"
	"flagc/runtime"
)

// Options of Generate.
type Options struct {
	Target  string // the name that the headers give; "cpu" if empty
	Weights Weights
}

// Weights says which weights the program takes; see host.Weights, which the program gets with these values. Without a
// precision it says nothing, and a program binds whatever fits.
type Weights struct {
	Precision, Release, Ranks, Flags string
	Official                         bool
}

// The functions that the program offers on its command line. A module without Main yields a package without
// main function, for embedding and tests.
const (
	Main  = "main"
	Draft = "draft"
)

// GoVersion stands in the go.mod of generated programs: the oldest toolchain that builds them.
const GoVersion = "1.26"

// Generate writes the program of a verified module: file contents by slash-separated path. Where the module has
// kernels, the program computes them in their order and counts them.
func Generate(m *ir.Module, opts Options) (map[string][]byte, error) {
	if opts.Target == "" {
		opts.Target = "cpu"
	}
	g, err := newGenerator(m.Inline(), opts)
	if err != nil {
		return nil, err
	}
	g.counts = len(m.Kernels) > 0
	files, err := runtime.Sources(g.module)
	if err != nil {
		return nil, err
	}
	generated, err := g.files()
	if err != nil {
		return nil, err
	}
	for _, f := range generated {
		var text bytes.Buffer
		if err := f.Render(&text); err != nil {
			return nil, fmt.Errorf("BUG: generated %s is not Go: %w", f.name, err)
		}
		files[f.name] = text.Bytes()
	}
	files["go.mod"] = []byte("// " + g.header() + "\n\nmodule " + g.module + "\n\ngo " + GoVersion + "\n")
	return files, nil
}

// generator holds what all files share.
type generator struct {
	m      *ir.Module
	opts   Options
	module string // Go module name
	rules  map[*ir.Op]*rule
	top    *scope // names of the package
	sizes  *sizes

	sets      map[*ir.Params]*set
	funcs     map[*ir.Func]string   // method names
	shared    map[*ir.Func]*ir.Func // the other mode's function, where both are the same code
	levels    map[*ir.Func]int      // how deep a function can stand below an entry; each depth has its memory
	attrConst map[string]string     // "op.attribute" → constant
	ropes     []rope
	helpers   map[string]bool
	comms     map[string]comm      // by the axis of the mesh, "" for all ranks; empty for a program on one rank
	counts    bool                 // the module has kernels
	unrounded func(*ir.Value) bool // see findUnrounded
}

// reserved are the names that every program uses for itself: in the package, as fields of Model, and in functions.
var reserved = []string{"Model", "call", "load", "main", "rec", "batch", "maxSeq", "arenas", "temporaries", "launched", "met",
	"b", "s", "p", "m", "l", "t", "at", "i", "w", "a", "x", "sigmoid", "silu", "softplus",
	"cpu", "host", "math", "formats", "collective", "mesh", "Ranks"}

func newGenerator(m *ir.Module, opts Options) (*generator, error) {
	g := &generator{m: m, opts: opts, rules: rules, top: newScope(reserved...),
		sets: map[*ir.Params]*set{}, funcs: map[*ir.Func]string{}, shared: map[*ir.Func]*ir.Func{},
		levels: map[*ir.Func]int{}, attrConst: map[string]string{}, helpers: map[string]bool{}}
	g.module = moduleName(m.Name)
	g.sizes = &sizes{consts: map[string]string{}, names: m.Names()}
	for _, d := range m.Dims {
		want := d.Name
		if strings.ContainsAny(want, "_.") {
			want = camel(want, false)
		}
		g.sizes.consts[d.Name] = g.top.name(want)
	}
	g.nameComms()
	g.nameFunctions()
	for _, p := range m.Params {
		s, err := g.newSet(p)
		if err != nil {
			return nil, err
		}
		g.sets[p] = s
	}
	g.collectAttributes()
	g.findLevels()
	g.findUnrounded()
	return g, nil
}

// nameFunctions names the methods. Modes that are the same code share one.
func (g *generator) nameFunctions() {
	for _, f := range g.m.Funcs {
		prefill := g.m.Func(f.Name + "." + string(ir.Prefill))
		decode := g.m.Func(f.Name + "." + string(ir.Decode))
		switch {
		case prefill != nil && decode != nil && g.sameCode(prefill, decode):
			if f == prefill {
				g.funcs[f] = g.top.name(camel(f.Name, false))
				g.funcs[decode] = g.funcs[f]
				g.shared[prefill], g.shared[decode] = decode, prefill
			}
		default:
			g.funcs[f] = g.top.name(camel(f.Name+"_"+string(f.Mode), false))
		}
	}
}

// sameCode reports whether two functions differ in nothing but their mode. What they call must be the same too.
func (g *generator) sameCode(a, b *ir.Func) bool {
	print := func(f *ir.Func) string {
		return strings.ReplaceAll(f.Print(g.m), "."+string(ir.Decode), "."+string(ir.Prefill))
	}
	if a.Params != b.Params || print(a) != print(b) || !sameKernels(a, b) {
		return false
	}
	for i, in := range a.Body {
		if in.Callee != nil && in.Callee != b.Body[i].Callee && !g.sameCode(in.Callee, b.Body[i].Callee) {
			return false
		}
	}
	return true
}

// moduleName makes a model's name a Go module name.
func moduleName(name string) string {
	clean := strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= '0' && r <= '9' || r == '_' || r == '-' {
			return r
		}
		if r >= 'A' && r <= 'Z' {
			return r - 'A' + 'a'
		}
		return '_'
	}, name)
	if clean == "" || strings.HasPrefix(clean, "-") {
		clean = "model" + clean
	}
	return clean
}

// source is the name of the model's source file, in one line whatever it holds.
func (g *generator) source() string {
	return strings.Join(strings.Fields(path.Base(g.m.Source)), " ")
}

// locals returns a scope in which a function can name its parameters.
func (g *generator) locals() *scope {
	taken := []string{"m", "l", "t", "at", "b", "s", "p", "i", "cpu", "host", "math", "formats"}
	for _, c := range g.sizes.consts {
		taken = append(taken, c)
	}
	for _, c := range g.comms {
		taken = append(taken, c.size)
	}
	return newScope(taken...)
}

// typical binds the symbols to a call of usual size, for decisions about memory that do not change results.
func (g *generator) typical(mode ir.Mode) ir.Env {
	if mode == ir.Decode {
		return ir.Env{"b": 1, "s": 1, "p": 4095, "m": 4096}
	}
	return ir.Env{"b": 1, "s": 512, "p": 0, "m": 4096}
}

// collectAttributes makes constants of numeric attributes that are the same in every use of their op.
func (g *generator) collectAttributes() {
	values := map[string][]any{}
	for _, f := range g.m.Funcs {
		for _, in := range f.Body {
			if in.Op == nil || in.Op == ops.Rope || in.Op.Class == ir.Collective {
				continue
			}
			for _, a := range in.Attrs {
				switch x := a.Value.(type) {
				case int, float64:
					if v, ok := x.(float64); ok && math.IsInf(v, 0) {
						continue // no constant of Go is infinite
					}
					key := in.Op.Name + "." + a.Name
					if !slices.Contains(values[key], a.Value) {
						values[key] = append(values[key], a.Value)
					}
				}
			}
		}
	}
	for _, key := range sortedKeys(values) {
		if len(values[key]) == 1 {
			g.attrConst[key] = g.top.name(camel(key, false))
		}
	}
}

// attrValue returns the value behind a constant of attrConst.
func (g *generator) attrValue(key string) any {
	op, attr, _ := strings.Cut(key, ".")
	for _, f := range g.m.Funcs {
		for _, in := range f.Body {
			if in.Op != nil && in.Op.Name == op {
				return in.Attrs.Get(attr)
			}
		}
	}
	return nil
}

// findLevels gives each function the length of the longest chain of calls that leads to it.
func (g *generator) findLevels() {
	var visit func(f *ir.Func, level int)
	visit = func(f *ir.Func, level int) {
		if level < g.levels[f] {
			return
		}
		g.levels[f] = level
		for _, in := range f.Body {
			if in.Callee != nil {
				visit(in.Callee, level+1)
			}
		}
	}
	for _, f := range g.m.Funcs {
		visit(f, 0)
	}
}

// depth is the number of levels.
func (g *generator) depth() int {
	n := 0
	for _, f := range g.m.Funcs {
		n = max(n, g.levels[f]+1)
	}
	return n
}

// files writes everything but the runtime. Functions come first, since they find out what the model holds.
func (g *generator) files() ([]*file, error) {
	functions, plans, err := g.functionFiles()
	if err != nil {
		return nil, err
	}
	list := []*file{g.dimsFile(), g.modelFile(plans), g.weightsFile(), g.stateFile(), g.temporariesFile(plans)}
	if g.m.Func(Main+".prefill") != nil {
		if err := g.checkEntries(); err != nil {
			return nil, err
		}
		list = append(list, g.mainFile(), g.entriesFile())
	}
	if g.counts {
		list = append(list, g.launchesFile())
	}
	if len(g.helpers) > 0 {
		list = append(list, g.helpersFile())
	}
	if g.m.Mesh.Ranks() > 1 {
		list = append(list, g.ranksFile())
	}
	return append(list, functions...), nil
}

// functionFiles writes each function of the graph into a file with its other mode.
func (g *generator) functionFiles() ([]*file, []*plan, error) {
	var list []*file
	var plans []*plan
	byName := map[string]*file{}
	for _, f := range g.m.Funcs {
		out := byName[f.Name]
		if out == nil {
			out = g.newFile(fileName(f.Name))
			byName[f.Name] = out
			list = append(list, out)
		}
		if g.shared[f] != nil && f.Mode == ir.Decode {
			continue
		}
		p, err := newPlan(g, f)
		if err != nil {
			return nil, nil, err
		}
		plans = append(plans, p)
		if err := g.function(out, p); err != nil {
			return nil, nil, err
		}
	}
	return list, plans, nil
}
