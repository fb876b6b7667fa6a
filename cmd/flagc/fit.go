package main

import (
	"encoding/json"
	"fmt"
	"strconv"

	"github.com/spf13/cobra"

	"flagc/fit"
	"flagc/passes"
	"flagc/targets"
)

func (a *app) fit() *cobra.Command {
	var f modelFlags
	var cards int
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "fit MODEL --target NAME",
		Short: "Say whether a model fits, on how many cards, and what would have to change",
		Long: fmt.Sprintf(`For every precision policy that the target can compute and every legal tensor-parallel degree up to
%d: what one card holds, whether that fits, how long a context could be, and the time of a decoded token that bandwidth
and meetings of ranks allow. Weights, caches, workspace and communication are exact bytes of the layout that flagc
plans. Estimated are the usable memory of a device, where the target does not know it, and all times.`, fit.MaxCards),
		Example: `  flagc fit deepseek-v4-flash --target ascend-910b-32g --cards 8
  flagc fit deepseek-v4-pro --target h200 --context 131072 --batch 4
  flagc fit deepseek-v4 --config config.json --target h20 --precision w4a8 --json`,
		Args: exactly(1, "one MODEL"),
	}
	cmd.RunE = func(_ *cobra.Command, args []string) error { return a.answer(args[0], &f, cards, asJSON) }
	f.registerModel(cmd)
	f.registerTarget(cmd)
	f.registerLayout(cmd)
	f.registerSizes(cmd)
	cmd.Flags().IntVar(&cards, "cards", 0, "look at this number of cards only, one rank on each (default every legal one)")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print the answer as JSON, in bytes and seconds")
	f.tp = 1
	return cmd
}

// answer asks whether a model fits and prints the answer.
func (a *app) answer(name string, f *modelFlags, cards int, asJSON bool) error {
	if cards < 0 || cards > fit.MaxCards {
		return usageError{fmt.Errorf("--cards %d: expected 1 to %d, or nothing for every legal number", cards, fit.MaxCards)}
	}
	m, err := a.load(name, f, "")
	if err != nil {
		return err
	}
	q := fit.Question{Model: m.module, Options: m.opts, Cards: cards, MaxContext: maxContext(m.config.Text)}
	q.Options.Precision = targets.Policy(f.precision) // all, unless one is named
	answer, err := fit.Ask(q)
	if err != nil {
		return err
	}
	next := f.nextStep(m, answer)
	if asJSON {
		return a.printJSON(struct {
			*fit.Answer
			Next string `json:"next"`
		}{answer, next})
	}
	_, err = fmt.Fprintf(a.out, "%s  next: %s\n", answer.Text(name), next)
	return err
}

// maxContext is the longest sequence that a configuration allows, 0 if it does not say. The text was read as a
// configuration before.
func maxContext(config string) int {
	var c struct {
		Max int `json:"max_position_embeddings"`
	}
	if json.Unmarshal([]byte(config), &c) != nil {
		return 0
	}
	return max(0, c.Max)
}

// nextStep is the command that follows: the build. Where nothing fits that was asked for, it is the question that would
// have a yes.
func (f *modelFlags) nextStep(m *model, a *fit.Answer) string {
	longest := 0
	for _, r := range a.Rows {
		longest = max(longest, r.Longest)
	}
	ask := []given{{"cards", strconv.Itoa(a.Fewest)}, {"precision", f.precision}}
	switch {
	case a.Best < 0 && a.Fewest > 0:
		return f.command("fit", m, a.Context, ask)
	case a.Best < 0 && longest > 1:
		return f.command("fit", m, longest, ask[1:])
	case a.Best < 0:
		return "flagc targets"
	}
	r := a.Rows[a.Best]
	chosen := []given{{"tp", strconv.Itoa(r.Cards)}, {"precision", string(r.Policy)}}
	return f.command("build", m, a.Context, chosen) + " -o build"
}

// given is a flag with its value; an empty value is not given.
type given struct{ flag, value string }

// command is a flagc command about the same model, machine and sizes but for the context.
func (f *modelFlags) command(verb string, m *model, context int, chosen []given) string {
	text := "flagc " + verb + " " + m.name
	flags := append([]given{{"config", f.config}, {"target", m.opts.Target.Name}}, chosen...)
	flags = append(flags, given{"ogroups", f.ogroups}, given{"shared-expert", f.shared}, given{"index-heads", f.index})
	for _, size := range []struct {
		flag        string
		n, standard int
	}{{"batch", f.batch, passes.DefaultBatch}, {"context", context, passes.DefaultContext}, {"chunk", f.chunk, 0}} {
		if size.n != size.standard {
			flags = append(flags, given{size.flag, strconv.Itoa(size.n)})
		}
	}
	for _, g := range flags {
		if g.value != "" {
			text += " --" + g.flag + " " + g.value
		}
	}
	if f.official {
		text += " --official-layout"
	}
	return text
}
