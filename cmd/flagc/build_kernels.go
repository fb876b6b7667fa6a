package main

import (
	"maps"
	"slices"
	"strings"

	"flagc/codegen/triton"
	"flagc/ir"
	"flagc/ir/tile"
	"flagc/passes"
	"flagc/targets"
)

// kernelInfo is what build.json says of one kernel of the graph: of one launch, which a device may need several
// programs for.
type kernelInfo struct {
	Name     string         `json:"name"`
	Launched map[string]int `json:"launched"` // times in one call of each entry
	Programs []programInfo  `json:"programs,omitempty"`
}

// programInfo is one program of a kernel. Bytes and Flops are of one launch, over the size symbols; At is the largest
// launch that memory is planned for.
type programInfo struct {
	Name      string        `json:"name"`
	File      string        `json:"file"`
	Grid      string        `json:"grid"`
	Warps     int           `json:"warps"`
	Stages    int           `json:"stages"`
	Registers int           `json:"registers,omitempty"` // of a thread at most, where the launch says so
	Bytes     string        `json:"bytes"`
	Flops     string        `json:"flops"`
	At        launchSize    `json:"at"`
	OnChip    targets.Bytes `json:"on_chip"` // estimated bytes of tiles in shared memory or the like
	Legality  string        `json:"legality"`
	Warnings  []string      `json:"warnings,omitempty"` // right, but slow or not proved on the target
	Checks    []checkResult `json:"checks,omitempty"`
}

// launchSize is a launch in numbers.
type launchSize struct {
	Sizes     ir.Env `json:"sizes"`
	Instances int    `json:"instances"`
	Bytes     int    `json:"bytes"`
	Flops     int    `json:"flops"`
}

// checkResult is how far a program has passed a check.
type checkResult struct {
	Check string `json:"check"`
	State string `json:"state"`
}

// notRun is the state of a check that nobody has run on a build yet.
const notRun = "not run"

// legal is what legality says of every program that is written: one that is not legal fails the build.
const legal = "passed"

// addKernels makes the files of a build's kernels and says in info what they are. A target without kernels of its own
// has the graph's kernels listed.
func (m *model) addKernels(files map[string][]byte, info *buildInfo) error {
	calls := passes.KernelCalls(m.module)
	var built *triton.Build
	if !m.opts.Target.Host.Executes {
		var err error
		if built, err = triton.NewBuild(m.module, m.opts.Target); err != nil {
			return err
		}
		if err := kernelFiles(built, files); err != nil {
			return err
		}
		info.Launches.CountPrograms(m.module, func(f *ir.Func) int { return started(m.module, built.Kernel(f)) })
	}
	for _, f := range m.module.Kernels {
		k := describeKernel(calls, f)
		if built != nil {
			k.Programs = describePrograms(m.module, built, f)
		}
		info.Kernels = append(info.Kernels, k)
	}
	return nil
}

// describeKernel says how often each entry launches a kernel.
func describeKernel(calls map[string]map[*ir.Func]int, f *ir.Func) kernelInfo {
	k := kernelInfo{Name: f.FullName(), Launched: map[string]int{}}
	for entry, n := range calls {
		if n[f] > 0 {
			k.Launched[entry] = n[f]
		}
	}
	return k
}

// kernelFiles writes kernels/ and, beside the IR of the graph, the tile programs as text that can be read back.
func kernelFiles(b *triton.Build, files map[string][]byte) error {
	list, err := b.Files()
	if err != nil {
		return err
	}
	for name, text := range list {
		files["kernels/"+name] = text
	}
	for _, p := range b.Programs() {
		files[tileFile(p.Name)] = []byte(tile.Print(p))
	}
	return nil
}

// tileFile is where a build has the text of a tile program.
func tileFile(name string) string { return "ir/kernels/" + name + ".tile" }

func describePrograms(m *ir.Module, b *triton.Build, f *ir.Func) []programInfo {
	k := b.Kernel(f)
	var out []programInfo
	for _, p := range k.Programs {
		q := programInfo{Name: p.Name, File: "kernels/" + p.Name + ".py", Grid: p.Grid, Warps: p.Launch.Warps, Stages: p.Launch.Stages,
			Registers: p.Launch.Registers, Bytes: p.Bytes, Flops: p.Flops, At: largest(m, k, p), OnChip: triton.OnChip(p, b.Target), Legality: legal}
		if broken := about(b.Broken, p.Name); broken != nil {
			q.Legality = "breaks " + strings.Join(broken, "; ")
		}
		q.Warnings = about(b.Warnings, p.Name)
		for _, c := range checksFor(b.Target) {
			q.Checks = append(q.Checks, checkResult{c, notRun})
		}
		out = append(out, q)
	}
	return out
}

// about lists what is said of one program.
func about(list []triton.Violation, program string) []string {
	var out []string
	for _, v := range list {
		if v.Kernel == program {
			out = append(out, v.Rule+": "+v.Found)
		}
	}
	return out
}

// largest is the largest launch of a program that memory is planned for.
func largest(m *ir.Module, k *triton.Lowered, p *tile.Program) launchSize {
	sizes := triton.Sizes(*m.Memory, k.Func.Mode)
	env := maps.Clone(k.Largest(*m.Memory))
	for _, c := range p.Consts {
		env[c.Name] = c.Value
	}
	value := func(expression string) int {
		n, err := tile.EvalExpr(expression, env)
		if err != nil {
			return 0 // the expression is not known
		}
		return n
	}
	n := value(p.Grid)
	if n == 0 {
		return launchSize{Sizes: sizes} // not launched
	}
	return launchSize{sizes, n, value(p.Bytes), value(p.Flops)}
}

// started is how many programs of a kernel have instances in the largest launch that memory is planned for.
func started(m *ir.Module, k *triton.Lowered) int {
	n := 0
	for _, p := range k.Programs {
		if largest(m, k, p).Instances > 0 {
			n++
		}
	}
	return n
}

// The checks of flagc verify, in the order in which they are run and told.
const (
	checkTile   = "tile"   // the tile program, interpreted, against the reference
	checkTriton = "triton" // the printed text under Triton's interpreter, against the same
	checkAOT    = "aot"    // compiled ahead of time for the target or what stands in for it
	checkAscend = "ascend" // lowered by the public front end of a toolchain whose last stage is closed
)

// checkNames lists the checks.
func checkNames() []string { return []string{checkTile, checkTriton, checkAOT, checkAscend} }

// checksFor are those that say something about a target.
func checksFor(t targets.Target) []string {
	list := checkNames()
	if _, ok := t.Toolchain.FrontEnd.Get(); !ok {
		list = slices.DeleteFunc(list, func(c string) bool { return c == checkAscend })
	}
	return list
}
