package main

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"flagc/ir"
	"flagc/ir/ops"
	"flagc/passes"
	"flagc/targets"
)

func (a *app) ops() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:     "ops [NAME]",
		Short:   "List the operators, or explain one",
		Example: "  flagc ops\n  flagc ops sparse_attention",
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) > 1 {
				return usageError{fmt.Errorf("expected at most one operator, got %d", len(args))}
			}
			return nil
		},
		ValidArgsFunction: func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
			return ops.All.Names(), cobra.ShellCompDirectiveNoFileComp
		},
		RunE: func(_ *cobra.Command, args []string) error {
			list := ops.All.All()
			if len(args) == 1 {
				op := ops.All.Lookup(args[0])
				if op == nil {
					return unknown("operator", args[0], ops.All.Names())
				}
				list = []*ir.Op{op}
			}
			switch {
			case asJSON:
				return a.printJSON(opInfos(list))
			case len(args) == 1:
				fmt.Fprint(a.out, opPage(list[0]))
			default:
				for _, op := range list {
					fmt.Fprintf(a.out, "%-17s %-12s %s\n", op.Name, op.Class, op.Sig)
				}
			}
			return nil
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print the declarations as JSON")
	return cmd
}

// opInfo is an operator's declaration for scripts.
type opInfo struct {
	Name      string     `json:"name"`
	Doc       string     `json:"doc"`
	Class     string     `json:"class"`
	Signature string     `json:"signature"`
	Types     string     `json:"types"`
	Attrs     []attrInfo `json:"attributes,omitempty"`
	Sum       string     `json:"sum,omitempty"`
	Whole     string     `json:"whole,omitempty"`
	Flops     string     `json:"flops"`
	Body      string     `json:"body,omitempty"`
}

type attrInfo struct {
	Name     string `json:"name"`
	Kind     string `json:"kind"`
	Doc      string `json:"doc"`
	Required bool   `json:"required"`
}

func opInfos(list []*ir.Op) []opInfo {
	var out []opInfo
	for _, o := range list {
		info := opInfo{o.Name, o.Doc, string(o.Class), o.Sig, o.Types, nil, o.Sum, o.Whole, o.Flops, o.Body}
		for _, at := range o.Attrs {
			info.Attrs = append(info.Attrs, attrInfo{at.Name, at.Kind.String(), at.Doc, at.Default == nil})
		}
		out = append(out, info)
	}
	return out
}

// opPage explains one operator in Markdown.
func opPage(o *ir.Op) string {
	var b strings.Builder
	fmt.Fprintf(&b, "## %s\n\n%s\n\n", o.Name, o.Doc)
	fmt.Fprintf(&b, "    %s\n    %s\n\n", o.Sig, o.Types)
	row := func(name, value string) {
		if value != "" {
			fmt.Fprintf(&b, "- %s: %s\n", name, value)
		}
	}
	row("class", string(o.Class))
	if o.Spec != "" {
		row("specification", "section "+o.Spec)
	}
	row("partial when split over", o.Sum)
	row("not to be split", o.Whole)
	row("operations", o.Flops)
	if o.Body != "" {
		row("meaning", "`"+o.Body+"`")
	}
	for _, at := range o.Attrs {
		required := ""
		if at.Default != nil {
			required = fmt.Sprintf(" (%v if not given)", at.Default)
		}
		row("attribute `"+at.Name+"`", at.Kind.String()+": "+at.Doc+required)
	}
	return b.String()
}

func (a *app) passes() *cobra.Command {
	return &cobra.Command{
		Use:   "passes",
		Short: "List the stages of the pipeline in order",
		Args:  exactly(0, "no arguments"),
		RunE: func(*cobra.Command, []string) error {
			fmt.Fprintf(a.out, "%-17s %s\n", passes.Frontend, "the model elaborated for its configuration")
			for _, p := range passes.Pipeline {
				fmt.Fprintf(a.out, "%-17s %s\n", p.Name, p.Doc)
			}
			return nil
		},
	}
}

func (a *app) targets() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "targets [NAME]",
		Short: "List the machines that are described, or explain one",
		Long: `Lists memory, bandwidth, native products, default precision policy and how far each target is proved.
With a name, explains one target: every fact with its source, and what is unknown.
Evidence is one of: ` + targets.EvidenceKey + ".",
		Example: "  flagc targets\n  flagc targets h200",
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) > 1 {
				return usageError{fmt.Errorf("expected at most one target, got %d", len(args))}
			}
			return nil
		},
		ValidArgsFunction: func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
			return targets.Names(), cobra.ShellCompDirectiveNoFileComp
		},
		RunE: func(_ *cobra.Command, args []string) error {
			list := targets.All()
			if len(args) == 1 {
				t, ok := targets.Find(args[0])
				if !ok {
					return unknown("target", args[0], targets.Names())
				}
				list = []targets.Target{t}
			}
			switch {
			case asJSON:
				return a.printJSON(list)
			case len(args) == 1:
				fmt.Fprint(a.out, list[0].Page())
			default:
				fmt.Fprint(a.out, targets.Table(list))
			}
			return nil
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print the targets as JSON")
	return cmd
}
