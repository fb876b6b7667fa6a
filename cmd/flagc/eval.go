package main

import (
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"flagc/internal/record"
	"flagc/ir"
	"flagc/ir/eval"
	"flagc/runtime/host"
	"flagc/runtime/safetensors"
	"flagc/weights"
)

// evalFlags are the flags of eval beside those of the model.
type evalFlags struct {
	weights, prompt, feed string
	logits, trace         string
	maxNew, maxSeq        int
	threads               int
	mtp, json             bool
}

func (a *app) eval() *cobra.Command {
	var mf modelFlags
	var f evalFlags
	cmd := &cobra.Command{
		Use:   "eval MODEL --weights DIR --prompt TOKENS",
		Short: "Run the reference interpreter, exactly",
		Long: `Runs the model's IR in exact arithmetic: float64 with the official storage roundings and no others. The results
equal those of the official code bit for bit in every bf16 value.

TOKENS are ids separated by commas, with ';' between the rows of a batch, or @FILE with a JSON list.`,
		Example: `  flagc eval deepseek-v4 --weights checkpoint --prompt 1,2,3 --max-new 8
  flagc eval deepseek-v4 --weights checkpoint --prompt 1,2,3 --feed 4,5 --mtp --trace t.safetensors --logits l.safetensors`,
		Args: exactly(1, "one MODEL"),
		RunE: func(_ *cobra.Command, args []string) error { return a.runEval(args[0], &mf, &f) },
	}
	mf.register(cmd)
	mf.registerAfter(cmd)
	fl := cmd.Flags()
	fl.StringVar(&f.weights, "weights", "", "folder of the checkpoint, official or converted (required)")
	fl.StringVar(&f.prompt, "prompt", "", "the prompt's tokens (required)")
	fl.StringVar(&f.feed, "feed", "", "tokens to feed one by one after the prompt")
	fl.IntVar(&f.maxNew, "max-new", 0, "choose this many tokens by argmax, instead of --feed")
	fl.IntVar(&f.maxSeq, "max-seq", 0, "longest sequence that the caches hold (as long as needed if 0)")
	fl.BoolVar(&f.mtp, "mtp", false, "run the MTP block as well")
	fl.StringVar(&f.logits, "logits", "", "write logits, fed tokens and MTP logits to this safetensors file")
	fl.StringVar(&f.trace, "trace", "", "write every traced value (no logits) to this safetensors file")
	fl.IntVar(&f.threads, "threads", 0, "goroutines (one for each processor if 0)")
	fl.BoolVar(&f.json, "json", false, "print the result as JSON")
	return cmd
}

// usage checks what can be told without the model.
func (f *evalFlags) usage() error {
	switch {
	case f.weights == "":
		return usageError{fmt.Errorf("--weights is missing: name the checkpoint's folder")}
	case f.prompt == "":
		return usageError{fmt.Errorf("--prompt is missing: give tokens such as 1,2,3")}
	case f.feed != "" && f.maxNew > 0:
		return usageError{fmt.Errorf("--feed and --max-new exclude each other: the tokens are given or chosen")}
	case f.maxNew < 0 || f.maxSeq < 0 || f.threads < 0:
		return usageError{fmt.Errorf("--max-new, --max-seq and --threads cannot be negative")}
	}
	return nil
}

// request checks the tokens against the model and each other.
func (f *evalFlags) request(m *ir.Module) (q eval.Request, err error) {
	vocab := m.Names()["V"]
	if q.Prompt, err = host.ParseTokens(f.prompt, vocab); err != nil {
		return q, fmt.Errorf("--prompt: %w", err)
	}
	if f.feed != "" {
		if q.Feed, err = host.ParseTokens(f.feed, vocab); err != nil {
			return q, fmt.Errorf("--feed: %w", err)
		}
		if len(q.Feed) != len(q.Prompt) {
			return q, fmt.Errorf("--feed has %d rows and --prompt has %d: give each sequence its tokens", len(q.Feed), len(q.Prompt))
		}
		q.MaxNew = len(q.Feed[0])
	} else {
		q.MaxNew = f.maxNew
	}
	if need := len(q.Prompt[0]) + q.MaxNew; f.maxSeq > 0 && need > f.maxSeq {
		return q, fmt.Errorf("prompt and new tokens are %d tokens, but --max-seq is %d: raise it or leave it out", need, f.maxSeq)
	}
	q.MTP, q.MaxSeq, q.Threads = f.mtp, f.maxSeq, f.threads
	return q, nil
}

func (a *app) runEval(name string, mf *modelFlags, f *evalFlags) error {
	if err := f.usage(); err != nil {
		return err
	}
	m, err := a.load(name, mf, f.weights)
	if err != nil {
		return err
	}
	q, err := f.request(m.module)
	if err != nil {
		return err
	}
	if _, err := m.stages(mf.after); err != nil {
		return err
	}
	store, closeStore, err := openStore(m, f.weights)
	if err != nil {
		return err
	}
	defer closeStore()
	var rec record.Recorder
	if f.trace != "" {
		q.Trace = rec.Add
	}
	progress := a.progress("eval", "tokens")
	q.Step = progress.Set
	start := time.Now()
	result, err := eval.Generate(m.module, weights.NewSource(m.module, store), q)
	progress.Done()
	if err != nil {
		return err
	}
	if err := writeTensors(f.trace, rec.Tensors); err != nil {
		return err
	}
	if f.logits != "" {
		if err := writeTensors(f.logits, record.Logits(result)); err != nil {
			return err
		}
	}
	return a.reportEval(f, q, result, time.Since(start))
}

// openChecked opens a checkpoint, official or converted, and holds it against the model.
func openChecked(m *ir.Module, dir string) (*safetensors.Checkpoint, error) {
	c, err := safetensors.OpenCheckpoint(dir)
	if err != nil {
		return nil, err
	}
	weights.Adapt(m, c)
	if err := weights.Check(m, c, weights.CheckOptions{Values: true}); err != nil {
		c.Close()
		return nil, err
	}
	return c, nil
}

// writeTensors writes a safetensors file unless path is empty.
func writeTensors(path string, tensors []safetensors.Data) error {
	if path == "" {
		return nil
	}
	if err := safetensors.WriteFile(path, map[string]string{"format": "flagc"}, tensors); err != nil {
		return fmt.Errorf("cannot write %s: %w", path, reason(err))
	}
	return nil
}

// evalReport is what eval prints with --json.
type evalReport struct {
	Prompt  int       `json:"prompt_tokens"`
	Fed     [][]int32 `json:"fed"`
	Next    []int32   `json:"next"` // argmax of the last logits
	Seconds float64   `json:"seconds"`
}

func (a *app) reportEval(f *evalFlags, q eval.Request, r *eval.Result, took time.Duration) error {
	last := r.Prefill
	if n := len(r.Decode); n > 0 {
		last = r.Decode[n-1]
	}
	report := evalReport{Prompt: len(q.Prompt[0]), Fed: r.Fed, Seconds: took.Seconds()}
	for b := range q.Prompt {
		if r.Fed[b] == nil {
			report.Fed[b] = []int32{}
		}
		report.Next = append(report.Next, int32(eval.Argmax(last.Slice(b))))
	}
	if f.json {
		return a.printJSON(report)
	}
	for b, row := range r.Fed {
		how := "fed"
		if q.Feed == nil {
			how = "chosen"
		}
		if len(row) > 0 {
			fmt.Fprintf(a.out, "%s: %s\n", how, joinTokens(row))
		}
		fmt.Fprintf(a.out, "next: %d\n", report.Next[b])
	}
	if q.MTP && r.PrefillMTP == nil {
		fmt.Fprintln(a.err, "the MTP block did not run: its input is a token after the prompt (--feed or --max-new)")
	}
	fmt.Fprintf(a.err, "%d tokens in %.2f s, exact\n", len(q.Prompt)*(len(q.Prompt[0])+len(r.Decode)), report.Seconds)
	for _, path := range []string{f.trace, f.logits} {
		if path != "" {
			fmt.Fprintf(a.err, "wrote %s\n", path)
		}
	}
	return nil
}

func joinTokens(ids []int32) string {
	words := make([]string, len(ids))
	for i, id := range ids {
		words[i] = fmt.Sprint(id)
	}
	return strings.Join(words, ",")
}

// isTerminal reports whether output to w reaches a person directly.
func isTerminal(w any) bool {
	f, ok := w.(*os.File)
	if !ok {
		return false
	}
	info, err := f.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}
