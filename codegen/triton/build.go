package triton

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"flagc/internal/diag"
	"flagc/ir"
	"flagc/ir/tile"
	"flagc/targets"
)

// Build is every kernel of a module as programs that a target takes.
type Build struct {
	Target   targets.Target
	Kernels  []*Lowered  // in the order of the module
	Warnings []Violation // what is right, but slow or not proved there
	Broken   []Violation // rules that programs break: the reasons why there is an error

	mod *ir.Module
}

// NewBuild lowers every kernel of a module, simplifies its programs, makes of them what the target needs and holds
// them against its rules. The module's memory is planned: the plan says how large sizes grow. A kernel that cannot
// be lowered and a program that breaks a rule are an error that names all of them; the build then holds what there is,
// for people to look at.
func NewBuild(m *ir.Module, t targets.Target) (*Build, error) {
	if m.Memory == nil {
		return nil, fmt.Errorf("kernels of %s need a memory plan, which says how large their sizes grow: run plan-memory first", m.Name)
	}
	b := &Build{Target: t, mod: m}
	names := newNames()
	var broken failures
	for _, f := range m.Kernels {
		k, violations, err := Fit(m, f, t, *m.Memory)
		var malformed *MalformedError
		switch {
		case errors.As(err, &malformed):
			broken.malformed(m, f, malformed.Program, malformed.Reason)
		case err != nil:
			broken.missing(m, f, err)
			continue
		}
		called := map[string]string{}
		for _, p := range k.Programs {
			called[p.Name] = names.unique(p.Name)
			p.Name = called[p.Name]
		}
		for _, v := range violations {
			v.Kernel = called[v.Kernel]
			b.take(v, f, &broken)
		}
		b.Kernels = append(b.Kernels, k)
	}
	for _, f := range m.Funcs {
		for _, in := range f.Body {
			if in.Op != nil && in.Op.Class != ir.Collective && in.Op.Class != ir.View {
				broken.loose(m, f, in)
			}
		}
	}
	return b, broken.err(t)
}

// take keeps what is said of a kernel's program.
func (b *Build) take(v Violation, f *ir.Func, broken *failures) {
	if v.Warning {
		b.Warnings = append(b.Warnings, v)
		return
	}
	b.Broken = append(b.Broken, v)
	broken.illegal(b.mod, f, v)
}

// MalformedError is a program that the generator has made wrongly.
type MalformedError struct {
	Program *tile.Program
	Reason  error
}

// Error names the program.
func (e *MalformedError) Error() string {
	return fmt.Sprintf("kernel %s is not well formed: %v", e.Program.Name, e.Reason)
}

// Unwrap is what the verifier said.
func (e *MalformedError) Unwrap() error { return e.Reason }

// finish makes of the programs of a kernel what a build has and returns the rules of the target that they break. Where they
// wait for the launch before comes last: all else then stands where it will stay.
func (k *Lowered) finish(t targets.Target, plan ir.Memory, blocks schedule) ([]Violation, error) {
	var all []Violation
	for i, p := range k.Programs {
		k.price(p)
		tile.Simplify(p)
		if err := tile.Verify(p); err != nil {
			return all, &MalformedError{p, err}
		}
		legal, violations := Legalize(p, t, k.Largest(plan))
		if t.Launch.Dependent.Is(true) {
			k.overlap(i, legal, blocks.heldBytes)
		}
		if err := tile.Verify(legal); err != nil {
			return all, &MalformedError{legal, err}
		}
		k.Programs[i] = legal
		all = append(all, violations...)
	}
	return all, nil
}

// OnChip estimates the bytes of a program's tiles in the memory that bounds them on the target, as the rule on-chip
// counts them.
func OnChip(p *tile.Program, t targets.Target) targets.Bytes {
	c := &checker{p: p, t: t, flow: newFlow(p)}
	if t.OnChip.Kind.Or(targets.Shared) == targets.Shared {
		return targets.Bytes(c.sharedBytes())
	}
	return targets.Bytes(c.liveBytes(t.OnChip.DoubleBuffered.Or(false)))
}

// Programs are the programs of all kernels, in the order of the module and of each launch.
func (b *Build) Programs() []*tile.Program {
	var out []*tile.Program
	for _, k := range b.Kernels {
		out = append(out, k.Programs...)
	}
	return out
}

// Kernel finds what a graph's kernel became, nil for none.
func (b *Build) Kernel(f *ir.Func) *Lowered {
	for _, k := range b.Kernels {
		if k.Func == f {
			return k
		}
	}
	return nil
}

// Sizes are the values that the size symbols have in the largest call of a mode that memory is planned for: a whole
// chunk of a prompt, or the last token of the context.
func Sizes(plan ir.Memory, mode ir.Mode) ir.Env {
	env := ir.Env{"b": plan.Batch, "s": plan.Chunk, "p": plan.Context - 1, "m": plan.Context}
	for name, n := range mode.Bound() {
		env[name] = n
	}
	return env
}

// Largest gives every scalar parameter of a kernel's programs its largest value.
func (k *Lowered) Largest(plan ir.Memory) map[string]int {
	sizes := Sizes(plan, k.Func.Mode)
	out := map[string]int{}
	for name, b := range k.Bindings {
		switch b.Source {
		case FromSize:
			out[name] = sizes[b.Symbol]
		case FromFirst:
			n, _ := b.Axis.Size.IsConst()
			out[name] = n * max(b.Axis.Split-1, 0)
		}
	}
	return out
}

// names keeps the programs of a build apart: as functions, and as files where case does not count.
type names struct{ taken map[string]bool }

func newNames() *names {
	n := &names{map[string]bool{}}
	for _, file := range ownFiles() {
		n.taken[strings.TrimSuffix(file, ".py")] = true
	}
	return n
}

// unique is the name itself or, if that is taken, the name with the first letter behind it that is free.
func (n *names) unique(name string) string {
	try := name
	for i := 0; n.taken[strings.ToLower(try)]; i++ {
		try = fmt.Sprintf("%s_%s", name, letters(i))
	}
	n.taken[strings.ToLower(try)] = true
	return try
}

// letters counts b, c … z, bb, bc …: digits behind a name are those of the model's kernels.
func letters(i int) string {
	const n = 25
	if i < n {
		return string(rune('b' + i))
	}
	return letters(i/n-1) + letters(i%n)
}

// failures collects what a build cannot be made for, one diagnostic for each reason.
type failures struct {
	items []*diag.Diagnostic
	same  map[string]*diag.Diagnostic // by rule, limit and remedy
	also  map[*diag.Diagnostic][]string
}

// place is the line of the model that a kernel comes from.
func place(m *ir.Module, f *ir.Func) diag.Span {
	for _, in := range f.Body {
		if in.Span.Line > 0 {
			return diag.Span{File: m.Source, Line: in.Span.Line}
		}
	}
	return diag.Span{File: m.Source}
}

func (b *failures) add(key, kernel string, make func() *diag.Diagnostic) {
	if b.same == nil {
		b.same, b.also = map[string]*diag.Diagnostic{}, map[*diag.Diagnostic][]string{}
	}
	if d := b.same[key]; d != nil {
		b.also[d] = append(b.also[d], kernel)
		return
	}
	d := make()
	b.same[key] = d
	b.items = append(b.items, d)
}

// missing says that no rule covers a kernel.
func (b *failures) missing(m *ir.Module, f *ir.Func, err error) {
	reason := strings.TrimPrefix(err.Error(), "kernel "+f.FullName()+": ")
	b.add("missing\x00"+reason, f.FullName(), func() *diag.Diagnostic {
		return diag.New(place(m, f), "kernel", "kernel %s cannot be generated: %s", f.FullName(), reason).
			WithHelp("flagc ir --func %s shows its ops; a rule for this combination belongs in codegen/triton", f.FullName())
	})
}

// loose says that an instruction computes and is in no kernel, so that a device has nothing to run it with.
func (b *failures) loose(m *ir.Module, f *ir.Func, in *ir.Instr) {
	b.add("loose\x00"+in.Op.Name, f.FullName(), func() *diag.Diagnostic {
		return diag.New(diag.Span{File: m.Source, Line: in.Span.Line}, "kernel", "%s of %s is in no kernel", in.Op.Name, f.FullName()).
			WithHelp("run the pass fuse before, which makes kernels of all ops")
	})
}

// malformed says that flagc has made a program that is none.
func (b *failures) malformed(m *ir.Module, f *ir.Func, p *tile.Program, err error) {
	b.add("form\x00"+err.Error(), p.Name, func() *diag.Diagnostic {
		return diag.New(place(m, f), "kernel", "BUG: kernel %s is not well formed: %v", p.Name, err)
	})
}

// illegal says that a program breaks a rule of the target. Programs that break it in the same way are told together.
func (b *failures) illegal(m *ir.Module, f *ir.Func, v Violation) {
	b.add(v.Rule+"\x00"+v.Limit+"\x00"+v.Remedy, v.Kernel, func() *diag.Diagnostic {
		return diag.New(place(m, f), v.Rule, "kernel %s: found %s", v.Kernel, v.Found).
			WithNote(diag.Span{}, "limit: %s (%s)", v.Limit, v.Source).WithHelp("%s", v.Remedy)
	})
}

// named is how many more kernels a diagnostic lists by name.
const named = 6

func (b *failures) err(t targets.Target) error {
	if len(b.items) == 0 {
		return nil
	}
	for _, d := range b.items {
		more := slices.Compact(slices.Sorted(slices.Values(b.also[d])))
		if len(more) == 0 {
			continue
		}
		list := strings.Join(more[:min(named, len(more))], ", ")
		if len(more) > named {
			list += fmt.Sprintf(" and %d more", len(more)-named)
		}
		d.WithNote(diag.Span{}, "the same in %s", list)
	}
	b.items[len(b.items)-1].WithNote(diag.Span{}, "%s gets no kernels for these reasons; flagc kernels prints the programs all the same", t.Name)
	return &diag.Errors{Items: b.items}
}
