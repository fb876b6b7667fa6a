package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"flagc/targets"
	"flagc/weights"
)

// releaseInfo is one kind of converted weights.
type releaseInfo struct {
	Target    string `json:"target"`
	Vendor    string `json:"vendor"`
	Precision string `json:"precision"`
	Published bool   `json:"published"`
	Bytes     int64  `json:"bytes"`
	Tensors   int    `json:"tensors"`
	Why       string `json:"why"`
	Command   string `json:"command"`
}

func (a *app) weightsRelease() *cobra.Command {
	var f modelFlags
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "release MODEL",
		Short: "List the kinds of converted weights for the targets, with their size and command",
		Long: `Lists in which forms weights of the model are handed out for machines that cannot compute on the official ones: the
published kinds, and those that nobody publishes, such as experts kept in FP4 for cards of 32 GB. Each comes with the
bytes of its tensors and the command that makes it from the official checkpoint.`,
		Example: "  flagc weights release deepseek-v4-flash\n  flagc weights release deepseek-v4-pro --json",
		Args:    exactly(1, "one MODEL"),
		RunE: func(_ *cobra.Command, args []string) error {
			all, err := a.releases(args[0], f)
			if err != nil {
				return err
			}
			if asJSON {
				return a.printJSON(all)
			}
			a.printReleases(all)
			return nil
		},
	}
	cmd.Flags().StringVar(&f.config, "config", "", "the checkpoint's config.json (Hugging Face keys)")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print the list as JSON")
	return cmd
}

// releases plans every kind of a model.
func (a *app) releases(name string, f modelFlags) ([]releaseInfo, error) {
	f.target, f.tp = "cpu", 1
	m, err := a.load(name, &f, "")
	if err != nil {
		return nil, err
	}
	var all []releaseInfo
	for _, k := range targets.KindsOf(weights.ModelName(m.module)) {
		kind := *m
		kind.module, kind.opts.Precision = m.module.Clone(), k.Policy
		target, ok := targets.Find(k.Target)
		if !ok {
			return nil, fmt.Errorf("BUG: a kind is for the target %s, which there is not", k.Target)
		}
		kind.opts.Target = target
		if _, err := kind.stages("shard"); err != nil {
			return nil, err
		}
		plan, err := weights.NewPlan(kind.module, weights.Release)
		if err != nil {
			return nil, err
		}
		written := plan.Report(1).Written
		all = append(all, releaseInfo{k.Target, target.Vendor, string(k.Policy), k.Published, written.Bytes, written.Tensors, k.Why,
			fmt.Sprintf("flagc weights convert SRC -o DST --target %s --precision %s", k.Target, k.Policy)})
	}
	return all, nil
}

func (a *app) printReleases(all []releaseInfo) {
	fmt.Fprintf(a.out, "%-16s %-9s %-10s %16s  %s\n", "TARGET", "PRECISION", "PUBLISHED", "BYTES", "WHY")
	for _, r := range all {
		published := "no"
		if r.Published {
			published = "yes"
		}
		fmt.Fprintf(a.out, "%-16s %-9s %-10s %16d  %s\n", r.Target, r.Precision, published, r.Bytes, r.Why)
	}
	fmt.Fprintln(a.out, "\nto make one: flagc weights convert SRC -o DST --target TARGET --precision PRECISION")
}
