package host

import (
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"time"

	"flagc/runtime/collective"
	"flagc/runtime/safetensors"
)

// Exit codes of a generated program.
const (
	ExitOK    = 0
	ExitError = 1 // something that the user gave does not work; one sentence says what
	ExitUsage = 2 // the command line itself is wrong
)

// Main runs the program with the arguments after its name and returns the exit code.
func Main(p Program, args []string, stdout, stderr io.Writer) int {
	o, err := parseOptions(p, args, stderr)
	switch {
	case errors.Is(err, flag.ErrHelp):
		return ExitOK
	case err != nil:
		fmt.Fprintf(stderr, "%s: %v\n", p.Name, err)
		return ExitUsage
	}
	if err := o.execute(p, stdout, stderr); err != nil {
		fmt.Fprintf(stderr, "%s: %v\n", p.Name, err)
		return ExitError
	}
	return ExitOK
}

// options are the flags as given.
type options struct {
	weights, prompt, feed string
	maxNew, maxSeq        int
	mtp, json, launches   bool
	logits, trace         string
	temperature, topP     float64
	seed                  uint64
	threads               int

	ranks   string // goroutines or processes
	rank    int    // the one to be, -1 for all
	socket  string
	timeout time.Duration
	args    []string // the command line, for ranks in processes of their own
}

// Ways to run ranks.
const (
	inGoroutines = "goroutines"
	inProcesses  = "processes"
)

// RegisterFlags adds the flags of a generated program to a set, for a tool that passes them on.
func RegisterFlags(f *flag.FlagSet) { new(options).register(f) }

func (o *options) register(f *flag.FlagSet) {
	f.StringVar(&o.weights, "weights", "", "`folder` of the checkpoint, official or converted for this build")
	f.StringVar(&o.prompt, "prompt", "", "`tokens` by comma, rows of a batch by semicolon, or @FILE with JSON")
	f.StringVar(&o.feed, "feed", "", "`tokens` to feed after the prompt, instead of choosing them")
	f.IntVar(&o.maxNew, "max-new", 16, "how many tokens to choose")
	f.IntVar(&o.maxSeq, "max-seq", 0, "how many tokens the caches hold (default: as many as needed)")
	f.BoolVar(&o.mtp, "mtp", false, "run the MTP draft as well")
	f.BoolVar(&o.launches, "launches", false, "say how often a decoded token launches kernels and ranks meet")
	f.BoolVar(&o.json, "json", false, "print one JSON object")
	f.StringVar(&o.logits, "logits", "", "`file` (safetensors) to write the logits to")
	f.StringVar(&o.trace, "trace", "", "`file` (safetensors) to write the traced values to")
	f.Float64Var(&o.temperature, "temperature", 0, "0 chooses the likeliest token")
	f.Float64Var(&o.topP, "top-p", 1, "draw among the likeliest tokens of this total probability")
	f.Uint64Var(&o.seed, "seed", 0, "of the random numbers")
	f.IntVar(&o.threads, "threads", 0, "of all ranks together; 0 means one for each processor, at least one for each rank")
	f.StringVar(&o.ranks, "ranks", inGoroutines, "run the ranks of the program as `goroutines` of one process, or as processes")
	f.IntVar(&o.rank, "rank", -1, "be this rank alone, from 0; the others are started by hand with the same flags")
	f.StringVar(&o.socket, "socket", "", "`path` of the local socket where ranks started by --rank meet; rank 0 makes it")
	f.DurationVar(&o.timeout, "rank-timeout", collective.DefaultTimeout, "how long a rank waits for another")
}

func parseOptions(p Program, args []string, stderr io.Writer) (*options, error) {
	o := &options{args: args}
	f := flag.NewFlagSet(p.Name, flag.ContinueOnError)
	f.SetOutput(io.Discard) // Main reports the error itself
	o.register(f)
	err := f.Parse(args)
	if errors.Is(err, flag.ErrHelp) {
		fmt.Fprintf(stderr, "%s runs %s on this machine (built from %s for %s).\n\n", p.Name, p.Name, p.Source, p.Target)
		fmt.Fprint(stderr, rankHelp(p))
		f.SetOutput(stderr)
		f.PrintDefaults()
		return nil, err
	}
	given := map[string]bool{}
	f.Visit(func(x *flag.Flag) { given[x.Name] = true })
	switch {
	case err != nil:
		return nil, fmt.Errorf("%w; --help lists the flags", err)
	case f.NArg() > 0:
		return nil, fmt.Errorf("unexpected argument %q; tokens are given by --prompt", f.Arg(0))
	case o.weights == "":
		return nil, errors.New("--weights DIR is missing: the folder of the checkpoint")
	case o.prompt == "":
		return nil, errors.New("--prompt is missing: token ids such as 0,1,2")
	case given["feed"] && given["max-new"]:
		return nil, errors.New("--feed and --max-new exclude each other: tokens are either given or chosen")
	case o.maxNew < 0 || o.maxSeq < 0 || o.threads < 0:
		return nil, errors.New("--max-new, --max-seq and --threads cannot be negative")
	case !(o.temperature >= 0) || !(o.topP > 0 && o.topP <= 1):
		return nil, errors.New("--temperature must be at least 0, and --top-p above 0 and at most 1")
	}
	return o, o.checkRanks(p.Mesh.Ranks(), given)
}

// request checks tokens and lengths against the program.
func (o *options) request(p Program) (q Request, err error) {
	q = Request{MaxNew: o.maxNew, MTP: o.mtp, MaxSeq: o.maxSeq, Temperature: o.temperature, TopP: o.topP,
		Seed: o.seed, KeepLogits: o.logits != ""}
	if q.Prompt, err = ParseTokens(o.prompt, p.Vocab); err != nil {
		return q, fmt.Errorf("--prompt: %w", err)
	}
	steps := o.maxNew
	if o.feed != "" {
		if q.Feed, err = ParseTokens(o.feed, p.Vocab); err != nil {
			return q, fmt.Errorf("--feed: %w", err)
		}
		if len(q.Feed) != len(q.Prompt) {
			return q, fmt.Errorf("--feed has %d rows and --prompt %d; each sequence needs its own", len(q.Feed), len(q.Prompt))
		}
		steps = len(q.Feed[0])
	}
	need := len(q.Prompt[0]) + steps
	if q.MaxSeq == 0 {
		q.MaxSeq = need
	}
	if need > q.MaxSeq {
		return q, fmt.Errorf("%d tokens of prompt and %d new ones exceed --max-seq %d", len(q.Prompt[0]), steps, q.MaxSeq)
	}
	if o.trace != "" {
		q.Trace = &Recorder{}
	}
	return q, nil
}

func (o *options) execute(p Program, stdout, stderr io.Writer) error {
	q, err := o.request(p)
	if err != nil {
		return err
	}
	stream := !o.json && len(q.Prompt) == 1
	if stream { // a person is watching: show each token when it is chosen
		separator := ""
		q.Chosen = func(ids []int32) {
			fmt.Fprintf(stdout, "%s%d", separator, ids[0])
			separator = ","
		}
	}
	result, err := o.run(p, q)
	if err != nil || o.rank > 0 {
		return err
	}
	if o.logits != "" {
		if err := safetensors.WriteFile(o.logits, nil, result.Tensors()); err != nil {
			return err
		}
	}
	if o.trace != "" {
		if err := safetensors.WriteFile(o.trace, nil, q.Trace.tensors); err != nil {
			return err
		}
	}
	if o.json {
		return printJSON(stdout, p, q, result)
	}
	if stream {
		fmt.Fprintln(stdout)
	} else {
		printRows(stdout, result.Fed)
	}
	fmt.Fprintln(stderr, result.speedLine(len(q.Prompt[0])))
	if o.launches {
		for _, line := range launchLines(result.before, result.after) {
			fmt.Fprintln(stderr, line)
		}
	}
	switch {
	case result.Drafts > 0:
		fmt.Fprintf(stderr, "MTP foretold %d of %d tokens\n", result.DraftsRight, result.Drafts)
	case q.MTP:
		fmt.Fprintln(stderr, "MTP foretold nothing: it needs at least two new tokens")
	}
	return nil
}

// report is what --json prints.
type report struct {
	Model           string    `json:"model"`
	Target          string    `json:"target"`
	Ranks           int       `json:"ranks"`
	Batch           int       `json:"batch"`
	PromptTokens    int       `json:"prompt_tokens"`
	Tokens          [][]int32 `json:"tokens"`
	PrefillMS       float64   `json:"prefill_ms"`
	DecodeMS        float64   `json:"decode_ms"`
	TokensPerSecond float64   `json:"tokens_per_second"` // of all sequences together; 0 without decode steps
	Drafts          int       `json:"mtp_drafts"`        // tokens that the MTP block foretold
	DraftsRight     int       `json:"mtp_drafts_right"`
}

func printJSON(w io.Writer, p Program, q Request, r *Result) error {
	fed := r.Fed
	for i := range fed {
		if fed[i] == nil {
			fed[i] = []int32{} // [] rather than null
		}
	}
	return json.NewEncoder(w).Encode(report{
		Model: p.Name, Target: p.Target, Ranks: p.Mesh.Ranks(), Batch: r.batch, PromptTokens: len(q.Prompt[0]), Tokens: fed,
		PrefillMS: 1e3 * r.PrefillTime.Seconds(), DecodeMS: 1e3 * r.DecodeTime.Seconds(), TokensPerSecond: r.speed(),
		Drafts: r.Drafts, DraftsRight: r.DraftsRight,
	})
}

// speed is the number of decoded tokens per second, of all sequences together.
func (r *Result) speed() float64 {
	if r.DecodeTime <= 0 || len(r.Fed[0]) == 0 {
		return 0
	}
	return float64(r.batch*len(r.Fed[0])) / r.DecodeTime.Seconds()
}

// printRows prints the tokens of each sequence on a line of its own.
func printRows(w io.Writer, rows [][]int32) {
	for _, row := range rows {
		words := make([]string, len(row))
		for i, id := range row {
			words[i] = strconv.Itoa(int(id))
		}
		fmt.Fprintln(w, strings.Join(words, ","))
	}
}

// speedLine says how long the prompt took, and how fast tokens came after it.
func (r *Result) speedLine(prompt int) string {
	line := fmt.Sprintf("first token after %.1f ms (%d of prompt)", 1e3*r.PrefillTime.Seconds(), prompt)
	if speed := r.speed(); speed > 0 {
		line += fmt.Sprintf(", then %.1f tokens/s", speed)
	}
	return line
}

// Exit runs Main for a whole process.
func Exit(p Program) { os.Exit(Main(p, os.Args[1:], os.Stdout, os.Stderr)) }
