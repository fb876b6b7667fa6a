package main

import (
	"errors"
	"fmt"
	"io/fs"

	"github.com/spf13/cobra"

	"flagc/weights"
)

func (a *app) weights() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "weights",
		Short: "Look after checkpoints: inspect, make, plan, convert, verify, release",
		Args:  usageOnly,
		RunE:  func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(a.weightsInspect(), a.weightsMake(), a.weightsPlan(), a.weightsConvert(), a.weightsVerify(), a.weightsRelease())
	return cmd
}

// usageOnly refuses arguments of a command that only groups others.
func usageOnly(cmd *cobra.Command, args []string) error {
	if len(args) > 0 {
		return usageError{unknown("command", args[0], commandNames(cmd))}
	}
	return nil
}

func (a *app) weightsMake() *cobra.Command {
	var f modelFlags
	var out string
	var seed uint64
	cmd := &cobra.Command{
		Use:   "make MODEL -o DIR",
		Short: "Make a random checkpoint in the official format",
		Long: `Writes a checkpoint of random values for the model's configuration: sharded safetensors with an index, and
config.json. The bytes depend on the configuration and the seed alone and are the same on every machine.`,
		Example: "  flagc weights make deepseek-v4-nano -o weights\n  flagc weights make deepseek-v4 --config config.json --seed 7 -o weights",
		Args:    exactly(1, "one MODEL"),
		RunE: func(_ *cobra.Command, args []string) error {
			if out == "" {
				return usageError{fmt.Errorf("-o is missing: name the folder to write")}
			}
			m, err := a.load(args[0], &f, "")
			if err != nil {
				return err
			}
			progress := a.progress("make", "bytes")
			err = weights.Make(m.module, []byte(m.config.Text), out, weights.MakeOptions{Seed: seed, Progress: progress.Set64})
			progress.Done()
			if err != nil {
				return err
			}
			totals := weights.Summary(m.module)
			fmt.Fprintf(a.out, "%s: %d tensors, %d bytes, seed %d\n", out, totals.Tensors, totals.Bytes, seed)
			fmt.Fprintf(a.out, "next: flagc build %s -o build && flagc run build --weights %s --prompt 1,2,3 --max-new 16\n",
				rebuildArgs(args[0], &f), out)
			return nil
		},
	}
	f.register(cmd)
	cmd.Flags().StringVarP(&out, "output", "o", "", "folder to write (required)")
	cmd.Flags().Uint64Var(&seed, "seed", 0, "other values for another seed")
	return cmd
}

// rebuildArgs repeats how the model was named.
func rebuildArgs(name string, f *modelFlags) string {
	if f.config != "" {
		return name + " --config " + f.config
	}
	return name
}

// loadStored loads the model of a checkpoint, for a converted one after the passes that it was converted for.
func (a *app) loadStored(dir string, f *modelFlags) (*model, error) {
	about, err := weights.ReadAbout(dir)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return a.load("deepseek-v4", f, dir)
	case err != nil:
		return nil, err
	case about.Layout == weights.Ranks:
		return nil, fmt.Errorf("%s holds files for %d ranks: flagc weights verify reads those, inspect reads whole tensors", dir, about.TP)
	}
	f.setStored(about)
	f.tp = 1 // tensors are whole
	m, err := a.load("deepseek-v4", f, dir)
	if err == nil {
		_, err = m.stages("shard")
	}
	return m, err
}

func (a *app) weightsInspect() *cobra.Command {
	var f modelFlags
	var full, asJSON bool
	cmd := &cobra.Command{
		Use:   "inspect DIR",
		Short: "Show a checkpoint as a person wants to see it, and check it",
		Long: `Recognises the model from config.json, holds every tensor against it, and shows bytes by class and by dtype, the
spread of FP4 scales, outliers, and anything odd. Damage is reported with the tensor, the file and the remedy.`,
		Example: "  flagc weights inspect checkpoint\n  flagc weights inspect checkpoint --full --json",
		Args:    exactly(1, "one DIR"),
		RunE: func(_ *cobra.Command, args []string) error {
			m, err := a.loadStored(args[0], &f)
			if err != nil {
				return err
			}
			r, err := weights.Inspect(m.module, args[0], weights.InspectOptions{Full: full})
			if err != nil {
				return err
			}
			if asJSON {
				return a.printJSON(r)
			}
			_, err = fmt.Fprint(a.out, r.Text())
			return err
		},
	}
	f.register(cmd)
	cmd.Flags().BoolVar(&full, "full", false, "read every value instead of a sample")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print the report as JSON")
	return cmd
}
