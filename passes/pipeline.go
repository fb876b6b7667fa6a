// Package passes turns the graph of a model into the graph of a build, one small program over IR after the
// other. Every pass keeps the meaning: the reference interpreter yields the same bits before and after.
//
// The package knows targets by their traits and nothing of code generation.
package passes

import (
	"fmt"

	"flagc/ir"
	"flagc/targets"
)

// Pass rewrites a module for a target.
type Pass struct {
	Name string // a verb in kebab case, as --after takes it
	Doc  string // one sentence for people
	Run  func(*ir.Module, Options) error
}

// Options is what a build is made for.
type Options struct {
	Target    targets.Target
	Precision targets.Policy // "" for the target's default
	TP        int            // ranks of tensor parallelism; 0 and 1 mean one
	OGroups   Groups         // "" for the cheaper
	Pairs     Choice         // Layout.Pairs, by default as is cheaper
	Scores    Choice         // Layout.Scores, by default as is cheaper
	// Official lays weights out as the official converter does: what is multiplied with unquantised activations is
	// kept in BF16, a pair of projections (the shared expert) is whole on every rank, scoring heads are split.
	Official bool
	// KeepFP4 are weights that stay in FP4 whatever the policy does with it, each as "set.weight": kernels widen them.
	KeepFP4 []string
	// Chosen, unless nil, is where shard notes the layout that it took.
	Chosen *Layout

	// What memory is planned for; 0 means DefaultBatch, DefaultContext and DefaultChunk.
	Batch   int // sequences at once
	Context int // longest sequence, prompt and answer together
	Chunk   int // most tokens of one prefill call
}

// Pipeline is every pass in order. A pass is an entry here and a file beside this one.
var Pipeline = []Pass{
	{"lower-precision", "what each weight is kept as, what products compute in, where activations are quantised",
		replans(beforeKernels(lowerPrecision))},
	{"shard", "tensor parallelism: parts of weights, local shapes, collectives", replans(beforeKernels(shard))},
	{"carry-tails", "what ends a layer in decoding is computed where the next begins, if that saves a launch",
		replans(carryTails)},
	{"fuse", "kernels: which ops are one launch", replans(fuse)},
	{planMemoryName, "where each value lies, what lives in place, exact bytes per rank", planMemory},
}

// replans makes a pass take the memory plan out of a module that it changes: the plan was made for the graph as it was.
func replans(run func(*ir.Module, Options) error) func(*ir.Module, Options) error {
	return func(m *ir.Module, opts Options) error {
		if m.Memory == nil {
			return run(m, opts)
		}
		before := m.String()
		err := run(m, opts)
		if err == nil && m.String() != before {
			m.DropMemory()
		}
		return err
	}
}

// planMemoryName is the one pass that leaves the graph as it is.
const planMemoryName = "plan-memory"

// Lower applies the pipeline up to plan-memory to m, in place, and checks the result once. It is for questions that
// ask for many variants of a module, whose texts nobody reads.
func Lower(m *ir.Module, opts Options) error {
	for _, p := range Pipeline {
		if p.Name == planMemoryName {
			break
		}
		if err := p.Run(m, opts); err != nil {
			return fmt.Errorf("%s: %w", p.Name, err)
		}
	}
	if err := m.Verify(); err != nil {
		return fmt.Errorf("BUG: the pipeline broke the module: %w", err)
	}
	return nil
}

// Stage is the module's text after one pass; stage 0, "frontend", is what the passes start from.
type Stage struct {
	Name string
	Text string
}

// Frontend is the name of the stage before the first pass.
const Frontend = "frontend"

// Names lists the stages that --after accepts, in order.
func Names() []string {
	names := []string{Frontend}
	for _, p := range Pipeline {
		names = append(names, p.Name)
	}
	return names
}

// Find returns the pass of that name.
func Find(name string) (Pass, bool) {
	for _, p := range Pipeline {
		if p.Name == name {
			return p, true
		}
	}
	return Pass{}, false
}

// Run applies the pipeline to m, in place, up to and including the pass named after ("" for all), and returns
// the text of every stage.
func Run(m *ir.Module, opts Options, after string) ([]Stage, error) {
	var list []Pass
	for _, p := range Pipeline {
		if after == Frontend {
			break
		}
		list = append(list, p)
		if p.Name == after {
			break
		}
	}
	return Apply(m, opts, list)
}

// Apply runs passes on m, in place and in the given order, verifying the module before and after each, and
// returns the text of every stage.
func Apply(m *ir.Module, opts Options, list []Pass) ([]Stage, error) {
	if err := m.Verify(); err != nil {
		return nil, err
	}
	stages := []Stage{{Frontend, m.String()}}
	for _, p := range list {
		if err := p.Run(m, opts); err != nil {
			return stages, fmt.Errorf("%s: %w", p.Name, err)
		}
		if err := m.Verify(); err != nil {
			return stages, fmt.Errorf("BUG: pass %s broke the module: %w", p.Name, err)
		}
		stages = append(stages, Stage{p.Name, m.String()})
	}
	return stages, nil
}
