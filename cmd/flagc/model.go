package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"flagc/frontend"
	"flagc/internal/diag"
	"flagc/ir"
	"flagc/ir/ops"
	"flagc/models/deepseekv4"
	"flagc/passes"
	"flagc/targets"
)

// modelFlags are the flags of every command that takes a MODEL.
type modelFlags struct {
	config    string
	target    string
	precision string
	tp        int
	batch     int
	context   int
	chunk     int
	ogroups   string
	shared    string
	index     string
	official  bool
	keepFP4   []string
	after     string
}

func (f *modelFlags) register(cmd *cobra.Command) {
	f.registerModel(cmd)
	f.registerMachine(cmd)
}

// registerModel adds what says which model it is.
func (f *modelFlags) registerModel(cmd *cobra.Command) {
	cmd.Flags().StringVar(&f.config, "config", "", "the checkpoint's config.json (Hugging Face keys); commands with --weights find it there")
	cmd.ValidArgsFunction = func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
		return deepseekv4.Names(), cobra.ShellCompDirectiveDefault
	}
}

// registerMachine adds what passes need to know.
func (f *modelFlags) registerMachine(cmd *cobra.Command) {
	f.registerTarget(cmd)
	cmd.Flags().IntVar(&f.tp, "tp", 1, "ranks of tensor parallelism; flagc tp MODEL lists which are legal")
	f.registerLayout(cmd)
	f.registerSizes(cmd)
}

// registerLayout adds what is to be split how.
func (f *modelFlags) registerLayout(cmd *cobra.Command) {
	cmd.Flags().StringVar(&f.ogroups, "ogroups", "", "with more ranks than o_groups: gather a group's heads or reduce its sums; the cheaper if not given")
	completeWith(cmd, "ogroups", []string{string(passes.Gather), string(passes.Reduce)})
	choices := []string{string(passes.Split), string(passes.Whole)}
	cmd.Flags().StringVar(&f.shared, "shared-expert", "", "split the shared expert over the ranks or keep it whole on each; the cheaper if not given")
	completeWith(cmd, "shared-expert", choices)
	cmd.Flags().StringVar(&f.index, "index-heads", "", "split the indexer's heads over the ranks or keep them whole on each; the cheaper if not given")
	completeWith(cmd, "index-heads", choices)
	cmd.Flags().BoolVar(&f.official, "official-layout", false,
		"keep weights as the official converter does: wo_a in BF16, shared experts whole, index heads split")
	cmd.Flags().StringSliceVar(&f.keepFP4, "keep-fp4", nil,
		"weights that stay in FP4 whatever the policy, such as block_csa.ffn.experts.w1; weights convert --inexact keep-fp4 finds those that must")
}

// registerSizes adds what memory is planned for.
func (f *modelFlags) registerSizes(cmd *cobra.Command) {
	cmd.Flags().IntVar(&f.batch, "batch", passes.DefaultBatch, "sequences at once that memory and kernels are planned for")
	cmd.Flags().IntVar(&f.context, "context", passes.DefaultContext,
		"longest sequence that memory is planned for, prompt and answer together")
	cmd.Flags().IntVar(&f.chunk, "chunk", 0,
		fmt.Sprintf("most tokens of one prefill call that memory is planned for (default %d, or the context if that is less)",
			passes.DefaultChunk))
}

// registerTarget adds the machine and the precision.
func (f *modelFlags) registerTarget(cmd *cobra.Command) {
	cmd.Flags().StringVar(&f.target, "target", "cpu", "what to compile for; flagc targets lists what there is")
	completeWith(cmd, "target", targets.Names())
	var policies []string
	for _, p := range targets.Policies() {
		policies = append(policies, string(p))
	}
	cmd.Flags().StringVar(&f.precision, "precision", "", "precision policy, instead of the target's default: "+strings.Join(policies, ", "))
	completeWith(cmd, "precision", policies)
}

// registerAfter adds --after, for commands that can stop between passes.
func (f *modelFlags) registerAfter(cmd *cobra.Command) {
	cmd.Flags().StringVar(&f.after, "after", "", "stop after this stage: "+strings.Join(passes.Names(), ", "))
	completeWith(cmd, "after", passes.Names())
}

func completeWith(cmd *cobra.Command, flag string, names []string) {
	// The flag was registered just before, so this cannot fail.
	_ = cmd.RegisterFlagCompletionFunc(flag, cobra.FixedCompletions(names, cobra.ShellCompDirectiveNoFileComp))
}

// model is an elaborated MODEL with the texts that it came from.
type model struct {
	module *ir.Module
	opts   passes.Options
	layout passes.Layout     // that the shard pass took
	split  map[string]string // the flags about splits that were given
	name   string            // as the user gave it
	source frontend.Source
	config frontend.Source
}

// load resolves and elaborates MODEL. weights, if not "", is a checkpoint whose config.json serves when none is
// named otherwise.
func (a *app) load(name string, f *modelFlags, weights string) (*model, error) {
	opts, err := f.options()
	if err != nil {
		return nil, err
	}
	source, builtin, err := modelSource(name)
	if err != nil {
		return nil, err
	}
	config, err := modelConfig(name, builtin, f.config, weights)
	if err != nil {
		return nil, err
	}
	for _, s := range []frontend.Source{source, config} {
		a.sources[filepath.Base(s.Name)] = s.Text // diagnostics name files without their folders
	}
	m, err := frontend.Elaborate(source, config, ops.All)
	if err != nil {
		return nil, err
	}
	return &model{module: m, opts: opts, split: f.split(), name: name, source: source, config: config}, nil
}

// maxRanks is the largest tensor-parallel degree that is looked at.
const maxRanks = 64

// options is what the flags ask of the passes.
func (f *modelFlags) options() (opts passes.Options, err error) {
	if opts.Target, opts.Precision, err = f.machine(); err != nil {
		return opts, err
	}
	opts.TP, opts.Official, opts.KeepFP4 = f.tp, f.official, f.keepFP4
	opts.Batch, opts.Context, opts.Chunk = f.batch, f.context, f.chunk
	if opts.OGroups, err = passes.ParseGroups(f.ogroups); err != nil {
		return opts, usageError{fmt.Errorf("--ogroups: %w", err)}
	}
	if opts.Pairs, err = passes.ParseChoice(f.shared); err != nil {
		return opts, usageError{fmt.Errorf("--shared-expert: %w", err)}
	}
	if opts.Scores, err = passes.ParseChoice(f.index); err != nil {
		return opts, usageError{fmt.Errorf("--index-heads: %w", err)}
	}
	return opts, nil
}

// machine finds the target and the precision policy for it.
func (f *modelFlags) machine() (targets.Target, targets.Policy, error) {
	target, ok := targets.Find(f.target)
	if f.tp < 1 || f.tp > maxRanks {
		return target, "", usageError{fmt.Errorf("--tp %d: expected 1 to %d ranks", f.tp, maxRanks)}
	}
	if !ok {
		return target, "", unknown("target", f.target, targets.Names())
	}
	policy := target.Policy
	if f.precision != "" {
		policy = targets.Policy(f.precision)
	}
	return target, policy, target.Allows(policy)
}

// stages runs the pipeline on the model.
func (m *model) stages(after string) ([]passes.Stage, error) {
	if after != "" {
		if known := passes.Names(); !slices.Contains(known, after) {
			return nil, unknown("stage", after, known)
		}
	}
	opts := m.opts
	opts.Chosen = &m.layout
	return passes.Run(m.module, opts, after)
}

// unknown is the error for a name that is none of the known ones.
func unknown(what, name string, known []string) error {
	if near := diag.Nearest(name, known); near != "" {
		return fmt.Errorf("unknown %s %q: did you mean %s?", what, name, near)
	}
	return fmt.Errorf("unknown %s %q: there are %s", what, name, strings.Join(known, ", "))
}

// unknownKernel is the error for the name of a kernel or program that there is not.
func unknownKernel(name string, known []string) error {
	if near := diag.Nearest(name, known); near != "" {
		return fmt.Errorf("unknown kernel %q: did you mean %s?", name, near)
	}
	return fmt.Errorf("unknown kernel %q: flagc kernels lists those that there are", name)
}

// modelSource finds the .flag text of a MODEL; builtin says that it is one of the built-in names.
func modelSource(name string) (src frontend.Source, builtin bool, err error) {
	if slices.Contains(deepseekv4.Names(), name) {
		file, text := deepseekv4.Source()
		return frontend.Source{Name: file, Text: text}, true, nil
	}
	if !strings.HasSuffix(name, ".flag") {
		return src, false, unknown("model", name, append(deepseekv4.Names(), "or a path to a .flag file"))
	}
	text, err := readSmall(name, "model source")
	return frontend.Source{Name: filepath.Base(name), Text: text}, false, err
}

// modelConfig finds the configuration: --config, then the built-in one of the name, then the checkpoint's own.
func modelConfig(name string, builtin bool, path, weights string) (frontend.Source, error) {
	if path == "" && builtin {
		if text, ok := deepseekv4.Config(name); ok {
			return frontend.Source{Name: name + "/config.json", Text: text}, nil
		}
	}
	if path == "" && weights != "" {
		path = filepath.Join(weights, "config.json")
	}
	if path == "" {
		return frontend.Source{}, fmt.Errorf("model %s needs a configuration: give --config with the checkpoint's config.json", name)
	}
	text, err := readSmall(path, "configuration")
	return frontend.Source{Name: path, Text: text}, err
}

// maxText bounds the texts that flagc reads whole: sources, configurations, token lists.
const maxText = 16 << 20

// readSmall reads a text file of bounded size.
func readSmall(path, what string) (string, error) {
	info, err := os.Stat(path)
	switch {
	case err != nil:
		return "", fmt.Errorf("cannot read the %s %s: %w", what, path, reason(err))
	case info.IsDir():
		return "", fmt.Errorf("the %s %s is a folder: name the file in it", what, path)
	case info.Size() > maxText:
		return "", fmt.Errorf("the %s %s has %d bytes, more than the %d that one can have", what, path, info.Size(), maxText)
	}
	text, err := os.ReadFile(path)
	return string(text), err
}

// reason strips a path error to its cause: the message names the path already.
func reason(err error) error {
	var p *os.PathError
	if errors.As(err, &p) {
		return p.Err
	}
	return err
}
