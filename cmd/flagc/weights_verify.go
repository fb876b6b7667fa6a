package main

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"flagc/runtime/safetensors"
	"flagc/weights"
)

func (a *app) weightsVerify() *cobra.Command {
	var against string
	var config string
	var sample, asJSON bool
	cmd := &cobra.Command{
		Use:   "verify DIR",
		Short: "Read a checkpoint again: names, shapes, values, hashes, and against what it was converted from",
		Long: `Holds every tensor of DIR against its config.json and conversion.json, reads every value (scales and weights are
numbers, expert tables valid), computes the hash of every file in SHA256SUMS, and, with --against SRC, compares every
value with the source: both are widened to float64 and must be equal.`,
		Example: "  flagc weights verify ranks --against checkpoint\n  flagc weights verify checkpoint",
		Args:    exactly(1, "one DIR"),
		RunE: func(_ *cobra.Command, args []string) error {
			v, err := a.verify(args[0], config, against, sample)
			if err != nil {
				return err
			}
			if asJSON {
				return a.printJSON(v)
			}
			hashes := "no SHA256SUMS"
			if v.Hashed > 0 {
				hashes = fmt.Sprintf("%d files match SHA256SUMS", v.Hashed)
			}
			fmt.Fprintf(a.out, "%s: %d tensors, %d bytes, every value a number; %s\n", args[0], v.Tensors, v.Bytes, hashes)
			if against != "" {
				fmt.Fprintf(a.out, "%d tensors equal the conversion of their source, value by value\n", v.Compared)
			}
			return nil
		},
	}
	cmd.Flags().StringVar(&against, "against", "", "the checkpoint that DIR was converted from")
	cmd.Flags().StringVar(&config, "config", "", "another config.json than that in DIR")
	cmd.Flags().BoolVar(&sample, "sample", false, "with --against, compare the first and the middle expert of each layer only")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print the result as JSON")
	return cmd
}

func (a *app) verify(dir, config, against string, sample bool) (*weights.Verified, error) {
	f := convertFlags{modelFlags: modelFlags{config: config, target: "cpu", tp: 1}, layout: string(weights.Release)}
	about, err := weights.ReadAbout(dir)
	switch {
	case err == nil:
		f.layout = string(about.Layout)
		f.setStored(about)
	case !errors.Is(err, fs.ErrNotExist):
		return nil, err
	}
	m, plan, err := a.planned("deepseek-v4", &f, dir)
	if err != nil {
		return nil, err
	}
	opts := weights.VerifyOptions{Sample: sample}
	if against != "" {
		if opts.Against, err = safetensors.OpenCheckpoint(against); err != nil {
			return nil, err
		}
		defer opts.Against.Close()
	}
	return weights.Verify(plan, m.module, dir, opts)
}

// openStore opens what eval reads weights from: a checkpoint, a release, or the files of ranks. m has been through the
// passes.
func openStore(m *model, dir string) (weights.Store, func() error, error) {
	about, err := weights.ReadAbout(dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, nil, err
	}
	if about == nil || about.Layout == weights.Release {
		c, err := openChecked(m.module, dir)
		if err != nil && about != nil && about.Precision != string(m.opts.Precision) {
			err = fmt.Errorf("%s was converted for precision %s: give --precision %s", dir, about.Precision, about.Precision)
		}
		if err != nil {
			return nil, nil, err
		}
		return c, c.Close, nil
	}
	plan, err := weights.NewPlan(m.module, weights.Ranks)
	if err != nil {
		return nil, nil, err
	}
	digest, err := plan.Digest()
	if err != nil {
		return nil, nil, err
	}
	if digest != about.Plan {
		return nil, nil, fmt.Errorf("%s holds files for %d ranks at precision %s: give %s", filepath.Clean(dir),
			about.TP, about.Precision, strings.Join(storedFlags(about), " "))
	}
	ranks, err := weights.OpenRanks(plan, dir)
	if err != nil {
		return nil, nil, err
	}
	weights.Adapt(m.module, ranks)
	return ranks, ranks.Close, nil
}
