package verify

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"sync"
	"text/tabwriter"
	"time"

	"flagc/internal/tritoncheck"
	"flagc/ir"
	"flagc/targets"
)

// Check is one way to hold a kernel against what it should compute.
type Check string

// The checks of this package.
const (
	Tiles Check = "tiles" // tile programs in the interpreter of this project, against the ops
	Text  Check = "text"  // printed kernels under Triton's interpreter, against the tile programs
)

// AllChecks lists them in the order of the table.
var AllChecks = []Check{Tiles, Text}

// Table is kernel × check for one target.
type Table struct {
	Model  string  `json:"model"`
	Target string  `json:"target"`
	Ranks  int     `json:"ranks"`
	Checks []Check `json:"checks"`
	Rows   []Row   `json:"kernels"`
}

// Row is the cells of one kernel.
type Row struct {
	Kernel string                     `json:"kernel"`
	Cells  map[Check]tritoncheck.Cell `json:"checks"`
	// Took is how long each check ran, when it ran. It is not part of the JSON, which depends on the build alone.
	Took map[Check]time.Duration `json:"-"`
}

// Options say what Verify checks and how.
type Options struct {
	Checks  []Check // nil for all
	Workers int     // kernels at once; 0 for 2
	Kernels []string
	// Experts and Words bound what of the experts and the vocabulary one rank holds, see Shrink; 0 for 2 and 64.
	Experts, Words int
	// Cache is a folder of earlier results, "" for the user's; NoCache asks for none.
	Cache   string
	NoCache bool
	// Done is told of every cell, one at a time; may be nil.
	Done func(kernel string, c Check, cell tritoncheck.Cell, took time.Duration)
}

// Verify checks all kernels of a module for a target.
func Verify(ctx context.Context, m *ir.Module, t targets.Target, o Options) (*Table, error) {
	o = o.withDefaults()
	small := Shrink(m, o.Experts, o.Words)
	table := &Table{Model: m.Name, Target: t.Name, Ranks: m.Mesh.Ranks(), Checks: o.Checks}
	v := &verifier{opts: o, ctx: ctx, cache: openKept(o)}
	defer v.close()
	var jobs []job
	for _, f := range small.Kernels {
		if !o.wants(f.FullName()) {
			continue
		}
		table.Rows = append(table.Rows, Row{f.FullName(), map[Check]tritoncheck.Cell{}, map[Check]time.Duration{}})
		k, _, err := Programs(small, f, t, plan(m))
		for _, c := range o.Checks {
			if err != nil {
				table.Rows[len(table.Rows)-1].Cells[c] = tritoncheck.CellOf(err)
				continue
			}
			s := &Subject{Module: small, Target: t, Kernel: k, Cases: StandardCases(small, f)}
			if c == Text {
				s.Cases = TextCases(small, f)
			}
			jobs = append(jobs, job{len(table.Rows) - 1, c, s})
		}
	}
	v.all(table, jobs)
	return table, ctx.Err()
}

// plan is what a module's memory is planned for, or Bounds.
func plan(m *ir.Module) ir.Memory {
	if m.Memory == nil {
		return Bounds
	}
	return *m.Memory
}

func (o Options) withDefaults() Options {
	if o.Checks == nil {
		o.Checks = AllChecks
	}
	if o.Workers == 0 {
		o.Workers = 2
	}
	if o.Experts == 0 {
		o.Experts = 2
	}
	if o.Words == 0 {
		o.Words = 64
	}
	return o
}

func (o Options) wants(name string) bool {
	for _, k := range o.Kernels {
		if k == name {
			return true
		}
	}
	return o.Kernels == nil
}

// job is one cell to fill.
type job struct {
	row     int
	check   Check
	subject *Subject
}

// verifier runs jobs.
type verifier struct {
	opts  Options
	ctx   context.Context
	cache kept

	once   sync.Once
	triton *tritoncheck.Interpreter
	err    error
	mu     sync.Mutex
}

func (v *verifier) close() {
	if v.triton != nil {
		v.triton.Close()
	}
}

// all gives the jobs to workers in order.
func (v *verifier) all(table *Table, jobs []job) {
	queue := make(chan job)
	var wg sync.WaitGroup
	for range v.opts.Workers {
		wg.Add(1)
		go func() {
			defer wg.Done()
			for j := range queue {
				start := time.Now()
				cell := v.cell(j)
				v.done(table, j, cell, time.Since(start))
			}
		}()
	}
	for _, j := range jobs {
		if v.ctx.Err() != nil {
			break
		}
		queue <- j
	}
	close(queue)
	wg.Wait()
}

func (v *verifier) done(table *Table, j job, cell tritoncheck.Cell, took time.Duration) {
	v.mu.Lock()
	defer v.mu.Unlock()
	row := table.Rows[j.row]
	row.Cells[j.check], row.Took[j.check] = cell, took
	if v.opts.Done != nil {
		v.opts.Done(row.Kernel, j.check, cell, took)
	}
}

// cell looks a result up or finds it out.
func (v *verifier) cell(j job) tritoncheck.Cell {
	key := j.subject.key(j.check)
	if cell, ok := v.cache.get(key); ok {
		return cell
	}
	var cell tritoncheck.Cell
	switch j.check {
	case Tiles:
		cell = j.subject.CheckTiles(v.ctx)
	case Text:
		v.once.Do(func() { v.triton, v.err = tritoncheck.NewInterpreter(v.ctx) })
		if v.err != nil {
			return tritoncheck.CellOf(v.err)
		}
		cell = j.subject.CheckText(v.ctx, v.triton)
	default:
		return tritoncheck.CellOf(fmt.Errorf("unknown check %q: there are %v", j.check, AllChecks))
	}
	if v.ctx.Err() == nil {
		v.cache.put(key, cell)
	}
	return cell
}

// Failed counts the cells that did not pass, those that are not possible here apart.
func (t *Table) Failed() (failed, notPossible int) {
	for _, r := range t.Rows {
		for _, c := range r.Cells {
			switch c.State {
			case tritoncheck.Failed:
				failed++
			case tritoncheck.NotPossible:
				notPossible++
			}
		}
	}
	return failed, notPossible
}

// JSON is the table as a file: the same bytes for the same results.
func (t *Table) JSON() ([]byte, error) { return json.MarshalIndent(t, "", "  ") }

// Print writes the table for people, then why what did not pass did not.
func (t *Table) Print(w io.Writer) error {
	out := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintf(out, "kernel")
	for _, c := range t.Checks {
		fmt.Fprintf(out, "\t%s", c)
	}
	fmt.Fprintln(out)
	var reasons []string
	for _, r := range t.Rows {
		fmt.Fprint(out, r.Kernel)
		for _, c := range t.Checks {
			cell := r.Cells[c]
			fmt.Fprintf(out, "\t%s", r.brief(c))
			if cell.State != tritoncheck.Passed {
				reasons = append(reasons, fmt.Sprintf("%s, %s: %s: %s", r.Kernel, c, cell.State, cell.Why))
			}
		}
		fmt.Fprintln(out)
	}
	if len(reasons) > 0 {
		fmt.Fprintf(out, "\n%s\n", strings.Join(reasons, "\n"))
	}
	return out.Flush()
}

// brief is a cell in a few words.
func (r Row) brief(c Check) string {
	cell := r.Cells[c]
	text := string(cell.State)
	if unequal, ok := cell.Detail["unequal"].(float64); ok {
		text += fmt.Sprintf(", %.2f %% differ", 100*unequal)
	}
	return fmt.Sprintf("%s, %.1f s", text, r.Took[c].Seconds())
}
