package gohost

import (
	"fmt"

	"github.com/dave/jennifer/jen"

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
func (g *generator) mainFile() *file {
	f := g.newFile("main.go")
	f.PackageComment(comment("The program " + g.module + " runs the model on this machine: it reads a " +
		"checkpoint of the configuration that it was built for, computes the given tokens and chooses or is fed " +
		"the following ones; --help lists its flags."))
	vocab := g.sizes.dim(g.m.Func(Main + ".prefill").Results[0].Dims[1])
	loader := jen.Func().Params(jen.Id("b").Op("*").Add(g.host("Binder")), jen.Id("threads").Int()).
		Add(g.host("Model")).Block(jen.Return(jen.Id("load").Call(jen.Id("b"), jen.Id("threads"))))
	fields := []jen.Code{
		pair("Name", jen.Lit(g.m.Name)),
		pair("Source", jen.Lit(g.source())),
		pair("Target", jen.Lit(g.opts.Target)),
		pair("Vocab", vocab.code),
	}
	if g.m.Mesh.Ranks() > 1 {
		fields = append(fields, pair("Mesh", jen.Id("mesh")))
	}
	if w := g.opts.Weights; w.Precision != "" {
		fields = append(fields, pair("Weights", composite(g.host("Weights"), pair("Precision", jen.Lit(w.Precision)),
			pair("Official", jen.Lit(w.Official)), pair("Release", jen.Lit(w.Release)), pair("Ranks", jen.Lit(w.Ranks)),
			pair("Flags", jen.Lit(w.Flags)))))
	}
	f.Func().Id("main").Params().Block(
		g.host("Exit").Call(composite(g.host("Program"), append(fields, pair("Load", loader))...)))
	return f
}

// entry is a method of host.Model or host.Drafter that runs an entry function.
type entry struct{ function, mode, method, doc string }

var entries = []entry{
	{Main, "prefill", "Prefill", "runs the first tokens of each sequence; ids is [b, s]"},
	{Main, "decode", "Decode", "runs one token of each sequence after p others; ids is [b]"},
	{Draft, "prefill", "DraftPrefill", "drafts from what Prefill left; ids are the tokens that follow its own"},
	{Draft, "decode", "DraftDecode", "drafts from what Decode left; ids are the tokens that follow its own"},
}

// entriesFile implements host.Model, and host.Drafter where the model has a draft.
func (g *generator) entriesFile() *file {
	f := g.newFile("entries.go")
	for _, e := range entries {
		if g.m.Func(e.function+"."+e.mode) == nil {
			continue
		}
		params := []jen.Code{jen.Id("ids").Index().Int32()}
		if e.mode == string(ir.Decode) {
			params = append(params, jen.Id("p").Int())
		}
		f.Comment(comment(e.method + " " + e.doc + "."))
		f.Func().Add(receiver("m", "Model")).Id(e.method).Params(params...).Index().Float32().
			Block(g.enter(e)...)
	}
	return f
}

// enter is the body of a method: it makes room for the results and calls the function.
func (g *generator) enter(e entry) []jen.Code {
	f := g.m.Func(e.function + "." + e.mode)
	tokens := jen.Len(jen.Id("ids")).Op("/").Add(selector("m.batch"))
	at := []jen.Code{pair("b", selector("m.batch")), pair("s", tokens)}
	if e.mode == string(ir.Decode) {
		at = append(at, pair("p", jen.Id("p")))
	}
	args := []jen.Code{jen.Id("at"), jen.Op("&").Add(selector("m." + g.sets[f.Params].typ))}
	var reads symbols
	var rooms []jen.Code
	for i, t := range f.Results {
		size := g.sizes.product(t.Dims)
		reads = reads.union(size.reads)
		field := "m." + resultField(e.function, f, i)
		rooms = append(rooms, selector(field).Op("=").Add(g.host("Resize")).Call(selector(field), size.code))
		args = append(args, selector(field))
	}
	if e.function == Draft {
		main := g.m.Func(Main + "." + e.mode)
		for i := 1; i < len(main.Results); i++ {
			args = append(args, selector("m."+resultField(Main, main, i)))
		}
	}
	args = append(args, jen.Id("ids"))
	body := append([]jen.Code{jen.Id("at").Op(":=").Id("call").Values(at...), reads.bind()}, rooms...)
	return append(body, call(selector("m."+g.funcs[f]), args...),
		jen.Return(selector("m."+resultField(e.function, f, 0))))
}
