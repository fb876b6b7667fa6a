package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"flagc/frontend"
	"flagc/ir"
	"flagc/ir/ops"
	"flagc/runtime/safetensors"
	"flagc/weights"
)

// convertFlags are the flags of commands that plan a conversion.
type convertFlags struct {
	modelFlags
	layout  string
	inexact string // what to do with tiles that cannot be converted exactly
	dropMTP bool
	jobs    int
	json    bool
}

func (f *convertFlags) register(cmd *cobra.Command, what string) {
	f.modelFlags.register(cmd)
	var names []string
	for _, l := range weights.FileLayouts {
		names = append(names, string(l))
	}
	fl := cmd.Flags()
	fl.StringVar(&f.layout, "layout", names[0], "release: whole tensors in shards with an index; ranks: one file for each rank")
	completeWith(cmd, "layout", names)
	fl.BoolVar(&f.dropMTP, "drop-mtp", false, "leave the MTP block out")
	fl.IntVar(&f.jobs, "jobs", 0, "parts of tensors converted at a time (one for each processor if 0)")
	fl.BoolVar(&f.json, "json", false, what)
}

// fileLayout checks --layout and --jobs.
func (f *convertFlags) fileLayout() (weights.FileLayout, error) {
	if f.jobs < 0 {
		return "", usageError{fmt.Errorf("--jobs cannot be negative")}
	}
	var names []string
	for _, l := range weights.FileLayouts {
		if f.layout == string(l) {
			return l, nil
		}
		names = append(names, string(l))
	}
	return "", usageError{unknown("layout", f.layout, names)}
}

// What --inexact asks for.
const (
	refuse  = "refuse"
	keepFP4 = "keep-fp4"
)

// withoutMTP elaborates the model anew, for a configuration without MTP blocks.
func (m *model) withoutMTP() (*model, error) {
	text, err := weights.WithoutMTP([]byte(m.config.Text))
	if err != nil {
		return nil, err
	}
	n := *m
	n.config.Text = string(text)
	n.module, err = frontend.Elaborate(n.source, n.config, ops.All)
	return &n, err
}

// planned loads MODEL and plans what its weights become.
func (a *app) planned(name string, f *convertFlags, dir string) (*model, *weights.Plan, error) {
	layout, err := f.fileLayout()
	if err != nil {
		return nil, nil, err
	}
	m, err := a.lowered(name, f, dir)
	if err != nil {
		return nil, nil, err
	}
	plan, err := weights.NewPlan(m.module, layout)
	return m, plan, err
}

// lowered loads MODEL and runs the passes that say what becomes of its weights.
func (a *app) lowered(name string, f *convertFlags, dir string) (*model, error) {
	m, err := a.load(name, &f.modelFlags, dir)
	if err != nil {
		return nil, err
	}
	if f.dropMTP {
		if m, err = m.withoutMTP(); err != nil {
			return nil, err
		}
	}
	_, err = m.stages("shard") // later passes leave weights as they are
	return m, err
}

// spare finds the weights that cannot be converted exactly, and lets them stay in FP4.
func (a *app) spare(f *convertFlags, src *safetensors.Checkpoint) error {
	m, err := a.lowered("deepseek-v4", f, src.Dir())
	if err != nil {
		return err
	}
	found, err := weights.Inexact(m.module, src)
	if err != nil {
		return err
	}
	for _, x := range found {
		f.keepFP4 = append(f.keepFP4, x.Weight)
		fmt.Fprintf(a.err, "note: %s stays in FP4: %v\n", x.Weight, x.Reason)
	}
	return nil
}

func (a *app) weightsPlan() *cobra.Command {
	var f convertFlags
	var full bool
	cmd := &cobra.Command{
		Use:   "plan MODEL",
		Short: "Show what a conversion would read, write and need",
		Long: `Plans a conversion without touching anything: bytes read and written, disk and memory, tensors by class and by
what happens to them. --full prints weights.json itself: for every tensor its source, slice, conversion, dtype, shape,
file and offset.`,
		Example: "  flagc weights plan deepseek-v4-pro --target h20 --tp 8 --layout ranks\n" +
			"  flagc weights plan deepseek-v4-flash --target ascend-910b-32g --json",
		Args: exactly(1, "one MODEL"),
		RunE: func(_ *cobra.Command, args []string) error {
			_, plan, err := a.planned(args[0], &f, "")
			if err != nil {
				return err
			}
			if full {
				text, err := plan.JSON()
				if err == nil {
					_, err = a.out.Write(text)
				}
				return err
			}
			if f.json {
				return a.printJSON(plan.Report(f.jobs))
			}
			_, err = fmt.Fprint(a.out, plan.Report(f.jobs).Text())
			return err
		},
	}
	f.register(cmd, "print the totals as JSON")
	cmd.Flags().BoolVar(&full, "full", false, "print the whole plan, weights.json, instead of totals")
	return cmd
}

func (a *app) weightsConvert() *cobra.Command {
	var f convertFlags
	var out, limit string
	var resume bool
	cmd := &cobra.Command{
		Use:   "convert SRC -o DST",
		Short: "Convert the official checkpoint, exactly, in one pass and bounded memory",
		Long: `Reads every byte of the checkpoint in SRC once and writes every byte of DST once: a release (a folder as published,
with index, corrected config.json, tokenizer, README and SHA256SUMS) or one file for each rank. Every number stays the
same; what cannot be converted exactly is refused, with the tensor and the tile. DST appears complete or not at all; after
a crash, a full disk or a kill, --resume goes on where it ended and gives the same bytes.`,
		Example: "  flagc weights convert checkpoint -o flash-bf16 --target ascend-910b-64g --precision bf16\n" +
			"  flagc weights convert checkpoint -o ranks --target h20 --tp 8 --layout ranks --limit 500M",
		Args: exactly(1, "one SRC"),
		RunE: func(_ *cobra.Command, args []string) error {
			if out == "" {
				return usageError{fmt.Errorf("-o is missing: name the folder to write")}
			}
			rate, err := parseRate(limit)
			if err != nil {
				return usageError{err}
			}
			if f.inexact != refuse && f.inexact != keepFP4 {
				return usageError{unknown("way to treat what is inexact", f.inexact, []string{refuse, keepFP4})}
			}
			opts := weights.ConvertOptions{Jobs: f.jobs, Limit: rate, Resume: resume}
			return a.convert(args[0], out, &f, opts)
		},
	}
	f.register(cmd, "print progress and the result as JSON, one event a line")
	cmd.Flags().StringVarP(&out, "output", "o", "", "folder to write (required)")
	cmd.Flags().StringVar(&limit, "limit", "", "read at most this many bytes in a second, such as 500M or 2G")
	cmd.Flags().BoolVar(&resume, "resume", false, "go on with an interrupted conversion")
	cmd.Flags().StringVar(&f.inexact, "inexact", refuse, "FP4 that cannot be converted exactly: refuse it, or keep-fp4, which lets that weight stay "+
		"as it is in all layers of its kind")
	completeWith(cmd, "inexact", []string{refuse, keepFP4})
	return cmd
}

func (a *app) convert(from, to string, f *convertFlags, opts weights.ConvertOptions) error {
	if about, err := weights.ReadAbout(from); err == nil {
		return fmt.Errorf("%s was converted already (precision %s): convert from the official checkpoint", from, about.Precision)
	}
	official, err := a.load("deepseek-v4", &f.modelFlags, from)
	if err != nil {
		return err
	}
	src, err := openSource(official.module, from)
	if err != nil {
		return err
	}
	defer src.Close()
	if f.inexact == keepFP4 {
		if err := a.spare(f, src); err != nil {
			return err
		}
	}
	m, plan, err := a.planned("deepseek-v4", f, from)
	if err != nil {
		return err
	}
	opts.About = weights.About{Flagc: version, Target: m.opts.Target.Name, Precision: string(m.opts.Precision), TP: m.opts.TP,
		MTP: !f.dropMTP, Flags: m.splitFlags(plan.Layout)}
	show := a.newEvents(f.json)
	opts.Progress = show.progress
	stopped, unheard := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer unheard()
	context.AfterFunc(stopped, unheard) // a second signal ends the process at once, which is safe as well
	opts.Stop = stopped.Done()
	start := time.Now()
	done, err := weights.Convert(plan, src, to, opts)
	show.clear()
	if err != nil {
		return err
	}
	return a.reportConversion(f, plan, to, done, time.Since(start))
}

// openSource opens a checkpoint and holds names, dtypes and shapes against the model. Values are looked at on their
// way.
func openSource(m *ir.Module, dir string) (*safetensors.Checkpoint, error) {
	c, err := safetensors.OpenCheckpoint(dir)
	if err != nil {
		return nil, err
	}
	if err := weights.Check(m, c, weights.CheckOptions{}); err != nil {
		return nil, errors.Join(err, c.Close())
	}
	return c, nil
}

// convertedEvent is the last event of a conversion.
type convertedEvent struct {
	Event string `json:"event"` // "done"
	*weights.Converted
	Seconds float64 `json:"seconds"`
}

func (a *app) reportConversion(f *convertFlags, plan *weights.Plan, to string, done *weights.Converted, took time.Duration) error {
	if f.json {
		return json.NewEncoder(a.out).Encode(convertedEvent{"done", done, took.Seconds()})
	}
	if done.Already {
		fmt.Fprintf(a.out, "%s is complete already\n", to)
		return nil
	}
	fmt.Fprintf(a.out, "%s: %s in %d files, %d bytes read, %d written\n", to, plan.Layout, len(plan.Files), done.Read, done.Written)
	if done.Resumed > 0 {
		fmt.Fprintf(a.out, "%d bytes were done before\n", done.Resumed)
	}
	if n := done.Tiles.Tiles(); n > 0 {
		fmt.Fprintf(a.out, "%d tiles recast from FP4 to FP8, each proved exact (%d of them code by code)\n", n, done.Tiles.ByCode)
	}
	if len(done.Lacking) > 0 && plan.Layout == weights.Release {
		fmt.Fprintf(a.err, "note: the source has no %s, so the release has none either\n", strings.Join(done.Lacking, ", "))
	}
	fmt.Fprintf(a.out, "next: flagc weights verify %s --against SRC\n", to)
	return nil
}

// parseRate reads a number of bytes with K, M or G (powers of 1024) behind it; "" is 0.
func parseRate(text string) (int64, error) {
	if text == "" {
		return 0, nil
	}
	number, unit := text, int64(1)
	if i := strings.IndexByte("KMG", text[len(text)-1]); i >= 0 {
		number, unit = text[:len(text)-1], 1<<(10*(i+1))
	}
	n, err := strconv.ParseInt(number, 10, 40)
	if err != nil || n <= 0 || n > (1<<62)/unit {
		return 0, fmt.Errorf("--limit %q: expected a number of bytes in a second, such as 500M or 2G", text)
	}
	return n * unit, nil
}
