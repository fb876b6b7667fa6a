package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"flagc/frontend"
	"flagc/ir/ops"
	"flagc/models/deepseekv4"
	"flagc/passes"
	"flagc/targets"
)

// pages are the reference pages, each made from the declarations.
var pages = []struct{ name, doc string }{
	{"language", "how to write .flag sources, and their grammar"},
	{"model", "the source of the built-in model"},
	{"ops", "every operator"},
	{"passes", "the pipeline"},
	{"targets", "every machine that is described"},
}

func pageNames() []string {
	var names []string
	for _, p := range pages {
		names = append(names, p.name)
	}
	return names
}

func (a *app) doc() *cobra.Command {
	return &cobra.Command{
		Use:       "doc [PAGE]",
		Short:     "Print a reference page, made from the declarations",
		Long:      "Without a page, lists the pages: language, model, ops, passes, targets.",
		Example:   "  flagc doc language\n  flagc doc ops > ops.md",
		ValidArgs: pageNames(),
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) > 1 {
				return usageError{fmt.Errorf("expected at most one page, got %d", len(args))}
			}
			return nil
		},
		RunE: func(_ *cobra.Command, args []string) error {
			if len(args) == 0 {
				for _, p := range pages {
					fmt.Fprintf(a.out, "%-10s %s\n", p.name, p.doc)
				}
				return nil
			}
			return a.page(args[0])
		},
	}
}

func (a *app) page(name string) error {
	switch name {
	case "language":
		fmt.Fprint(a.out, frontend.Guide())
	case "model":
		_, text := deepseekv4.Source()
		fmt.Fprint(a.out, text)
	case "ops":
		fmt.Fprint(a.out, "# Operators\n\nSignatures name axes: `*x` any number of them, `k?` one that may be absent, `ids[…]:e` an operand\nwhose values index axis e.\n\n")
		for _, o := range ops.All.All() {
			fmt.Fprintln(a.out, opPage(o))
		}
	case "passes":
		fmt.Fprintf(a.out, "# Passes\n\n- %s: the model elaborated for its configuration\n", passes.Frontend)
		for _, p := range passes.Pipeline {
			fmt.Fprintf(a.out, "- %s: %s\n", p.Name, p.Doc)
		}
	case "targets":
		fmt.Fprint(a.out, "# Targets\n\nEach fact stands with its evidence and source; what has no source is named as unknown.\n"+
			"Evidence is one of: "+targets.EvidenceKey+".\n\n")
		for _, t := range targets.All() {
			fmt.Fprintln(a.out, t.Page())
		}
	default:
		return unknown("page", name, pageNames())
	}
	return nil
}
