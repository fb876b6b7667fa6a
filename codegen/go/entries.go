package gohost

import (
	"fmt"
	"strings"

	"flagc/ir"
)

// entryResult is a field of Model that holds a result of an entry function.
type entryResult struct{ name, typ string }

// entryResults lists the fields for the results of main and draft, those of both modes together.
func (g *generator) entryResults() []entryResult {
	var out []entryResult
	for _, name := range []string{Main, Draft} {
		f := g.m.Func(name + ".prefill")
		if f == nil {
			continue
		}
		for i, t := range f.Results {
			out = append(out, entryResult{resultField(name, f, i), g.m.PrintType(t)})
		}
	}
	return out
}

// resultField names the first result of an entry its logits, the others as the model does.
func resultField(entry string, f *ir.Func, i int) string {
	if i == 0 {
		return entry + "Logits"
	}
	return entry + camel(base(f.Return[i].Name), true)
}

// checkEntries holds what the command line needs: main takes ids [b,s] and yields logits [b,V] and perhaps
// more, which draft takes before ids of its own.
func (g *generator) checkEntries() error {
	for _, mode := range []ir.Mode{ir.Prefill, ir.Decode} {
		main, draft := g.m.Func(Main+"."+string(mode)), g.m.Func(Draft+"."+string(mode))
		if main == nil {
			return fmt.Errorf("the entry main has no %s function", mode)
		}
		if len(main.Args) != 1 || !isIDs(main.Args[0].Type) || len(main.Results) < 1 ||
			!isLogits(main.Results[0]) {
			return fmt.Errorf("%s must take ids i32[b, s] and yield logits f32[b, V] first", main.FullName())
		}
		if draft == nil {
			continue
		}
		n := len(draft.Args)
		ok := n > 0 && n == len(main.Results) && isIDs(draft.Args[n-1].Type) &&
			len(draft.Results) == 1 && isLogits(draft.Results[0])
		for i := 0; ok && i < n-1; i++ {
			ok = draft.Args[i].Type.Equal(main.Results[i+1])
		}
		if !ok {
			return fmt.Errorf("%s must take what main yields after the logits, then ids i32[b, s], "+
				"and yield logits f32[b, V]", draft.FullName())
		}
	}
	return nil
}

func isIDs(t ir.Type) bool {
	return t.Elem == ir.Plain(ir.I32) && len(t.Dims) == 2 && t.Dims[0].Size.Equal(ir.Sym("b")) &&
		t.Dims[1].Size.Equal(ir.Sym("s"))
}

func isLogits(t ir.Type) bool {
	if len(t.Dims) != 2 {
		return false
	}
	_, fixed := t.Dims[1].Size.IsConst()
	return t.Elem == ir.Plain(ir.F32) && t.Dims[0].Size.Equal(ir.Sym("b")) && fixed
}

// mainFile is the program's main function.
func (g *generator) mainFile() file {
	f := file{name: "main.go", err: g.checkEntries()}
	if f.err != nil {
		return f
	}
	vocab := g.sizes.dim(g.m.Func(Main + ".prefill").Results[0].Dims[1])
	f.doc = comment(fmt.Sprintf("The program %s runs the model on this machine: it reads a checkpoint of the "+
		"configuration that it was built for, computes the given tokens and chooses or is fed the following ones; "+
		"--help lists its flags.", g.module))
	f.body = fmt.Sprintf(`func main() {
	host.Exit(host.Program{
		Name: %q, Source: %q, Target: %q, Vocab: %s,
		Load: func(b *host.Binder, threads int) host.Model { return load(b, threads) },
	})
}
`, g.m.Name, g.source(), g.opts.Target, vocab)
	return f
}

// methods are those of host.Model and host.Drafter that run an entry function.
var methods = []struct{ entry, mode, method, doc string }{
	{Main, "prefill", "Prefill", "runs the first tokens of each sequence; ids is [b, s]"},
	{Main, "decode", "Decode", "runs one token of each sequence after p others; ids is [b]"},
	{Draft, "prefill", "DraftPrefill", "drafts from what Prefill left; ids are the tokens that follow its own"},
	{Draft, "decode", "DraftDecode", "drafts from what Decode left; ids are the tokens that follow its own"},
}

// entriesFile implements host.Model, and host.Drafter where the model has a draft.
func (g *generator) entriesFile() file {
	var b strings.Builder
	for _, e := range methods {
		f := g.m.Func(e.entry + "." + e.mode)
		if f == nil {
			continue
		}
		arg, position := "ids []int32", ""
		if e.mode == "decode" {
			arg, position = "ids []int32, p int", ", p: p"
		}
		b.WriteString(comment(e.method + " " + e.doc + "."))
		fmt.Fprintf(&b, "func (m *Model) %s(%s) []float32 {\n", e.method, arg)
		fmt.Fprintf(&b, "at := call{b: m.batch, s: len(ids) / m.batch%s}\n", position)
		args := []string{"at", "&m." + g.sets[f.Params].typ}
		var sizes []string
		for _, t := range f.Results {
			sizes = append(sizes, g.sizes.product(t.Dims))
		}
		b.WriteString(bindSymbols(sizes))
		for i, size := range sizes {
			name := "m." + resultField(e.entry, f, i)
			fmt.Fprintf(&b, "%s = host.Resize(%s, %s)\n", name, name, size)
			args = append(args, name)
		}
		if e.entry == Draft {
			main := g.m.Func(Main + "." + e.mode)
			for i := 1; i < len(main.Results); i++ {
				args = append(args, "m."+resultField(Main, main, i))
			}
		}
		args = append(args, "ids")
		fmt.Fprintf(&b, "m.%s%s\nreturn m.%s\n}\n\n", g.funcs[f], list(args), resultField(e.entry, f, 0))
	}
	return file{name: "entries.go", body: b.String()}
}
