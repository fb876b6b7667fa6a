package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"text/tabwriter"

	"flagc/internal/tritoncheck"
	"flagc/runtime/atomicfile"
	"flagc/targets"
)

// checksFile is where a build has the results of its checks.
const checksFile = "checks.json"

// checkReport is checks.json: program × check. It holds no times, so that equal results are equal bytes.
type checkReport struct {
	Flagc       string           `json:"flagc"`
	Model       string           `json:"model"`
	Target      string           `json:"target"`
	TP          int              `json:"tp"`
	Precision   string           `json:"precision"`
	Checks      []checkInfo      `json:"checks"`
	Passed      int              `json:"passed"`
	Failed      int              `json:"failed"`
	NotPossible int              `json:"not_possible"`
	Programs    []checkedProgram `json:"programs"`
}

// checkInfo is one check of a report.
type checkInfo struct {
	Check   string `json:"check"`
	Device  string `json:"device,omitempty"`   // that programs are compiled for
	StandIn bool   `json:"stand_in,omitempty"` // the device is another one than the target, whose compiler is like the target's
}

// checkedProgram is the cells of one program.
type checkedProgram struct {
	Program string                      `json:"program"`
	Kernel  string                      `json:"kernel"`
	Cells   map[string]tritoncheck.Cell `json:"cells"`
}

func newReport(b *openBuild) *checkReport {
	return &checkReport{Flagc: version, Model: b.info.Module.Model, Target: b.info.Target, TP: b.info.TP, Precision: b.info.Precision}
}

// count sums the cells up.
func (r *checkReport) count() {
	r.Passed, r.Failed, r.NotPossible = 0, 0, 0
	for _, p := range r.Programs {
		for _, c := range p.Cells {
			switch c.State {
			case tritoncheck.Passed:
				r.Passed++
			case tritoncheck.Failed:
				r.Failed++
			default:
				r.NotPossible++
			}
		}
	}
}

// heading is what a column is called.
func (c checkInfo) heading() string {
	switch {
	case c.Device == "":
		return strings.ToUpper(c.Check)
	case c.StandIn:
		return fmt.Sprintf("%s for %s, a stand-in", strings.ToUpper(c.Check), c.Device)
	}
	return fmt.Sprintf("%s for %s", strings.ToUpper(c.Check), c.Device)
}

// print writes the table for people, then the reasons, each once.
func (r *checkReport) print(out io.Writer) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprint(w, "PROGRAM")
	for _, c := range r.Checks {
		fmt.Fprint(w, "\t"+c.heading())
	}
	fmt.Fprintln(w)
	for _, p := range r.Programs {
		fmt.Fprint(w, p.Program)
		for _, c := range r.Checks {
			fmt.Fprint(w, "\t"+brief(c.Check, p.Cells[c.Check]))
		}
		fmt.Fprintln(w)
	}
	if err := w.Flush(); err != nil {
		return err
	}
	r.printReasons(out)
	fmt.Fprintf(out, "%d programs: %d checks passed, %d failed, %d not possible here; written to %s\n", len(r.Programs), r.Passed, r.Failed,
		r.NotPossible, checksFile)
	return nil
}

// brief is a cell in a few words.
func brief(check string, c tritoncheck.Cell) string {
	if c.State != tritoncheck.Passed {
		return string(c.State)
	}
	text := "passed"
	switch check {
	case checkAOT:
		text += fmt.Sprintf(", %v registers, %v B spilled, %v B shared", c.Detail["registers"], c.Detail["spill_bytes"], c.Detail["shared"])
	case checkAscend:
		text += fmt.Sprintf(", %v, %v discrete accesses", c.Detail["mix_mode"], c.Detail["discrete"])
	default:
		if unequal, ok := c.Detail["unequal"].(float64); ok && unequal > 0 {
			text += fmt.Sprintf(", %.2f %% neighbours", 100*unequal)
		}
	}
	return text
}

// printReasons says why what did not pass did not, the same reason once for all programs.
func (r *checkReport) printReasons(out io.Writer) {
	type key struct{ check, state, why string }
	var order []key
	programs := map[key][]string{}
	for _, p := range r.Programs {
		for _, c := range r.Checks {
			cell := p.Cells[c.Check]
			if cell.State == tritoncheck.Passed {
				continue
			}
			k := key{c.Check, string(cell.State), cell.Why}
			if programs[k] == nil {
				order = append(order, k)
			}
			programs[k] = append(programs[k], p.Program)
		}
	}
	for _, k := range order {
		whose := listOf(programs[k])
		if len(programs[k]) == len(r.Programs) && len(r.Programs) > 1 {
			whose = "all programs"
		}
		word := ": "
		if k.state == string(tritoncheck.NotPossible) {
			word = ", because "
		}
		fmt.Fprintf(out, "%s of %s: %s%s%s\n", k.check, whose, k.state, word, k.why)
	}
}

// write puts the results into the build. Those of other checks and programs stay, if they are of the same build.
func (r *checkReport) write(b *openBuild) error {
	whole := r.merged(b)
	text, err := encode(whole)
	if err != nil {
		return err
	}
	if err := atomicfile.WriteFile(filepath.Join(b.dir, checksFile), text, 0o666); err != nil {
		return fmt.Errorf("cannot write %s: %w", filepath.Join(b.dir, checksFile), reason(err))
	}
	info := b.info
	for _, k := range info.Kernels {
		for i := range k.Programs {
			k.Programs[i].Checks = states(b.target, whole, k.Programs[i].Name)
		}
	}
	info.Tier = string(provedTier(b.target, whole, len(b.built.Programs())))
	if text, err = encode(info); err != nil {
		return err
	}
	return atomicfile.WriteFile(filepath.Join(b.dir, buildFile), text, 0o666)
}

// merged is the report with the earlier results for what it does not hold.
func (r *checkReport) merged(b *openBuild) *checkReport {
	whole := newReport(b)
	earlier := &checkReport{}
	text, err := os.ReadFile(filepath.Join(b.dir, checksFile))
	if err != nil || json.Unmarshal(text, earlier) != nil || earlier.Flagc != version || earlier.Target != r.Target {
		earlier = &checkReport{}
	}
	cells := map[string]map[string]tritoncheck.Cell{}
	for _, from := range []*checkReport{earlier, r} {
		for _, p := range from.Programs {
			if cells[p.Program] == nil {
				cells[p.Program] = map[string]tritoncheck.Cell{}
			}
			for c, cell := range p.Cells {
				cells[p.Program][c] = cell
			}
		}
	}
	for _, name := range checksFor(b.target) {
		for _, from := range []*checkReport{r, earlier} {
			if c, ok := from.find(name); ok {
				whole.Checks = append(whole.Checks, c)
				break
			}
		}
	}
	for _, k := range b.built.Kernels {
		for _, p := range k.Programs {
			if cells[p.Name] != nil {
				whole.Programs = append(whole.Programs, checkedProgram{p.Name, k.Func.FullName(), cells[p.Name]})
			}
		}
	}
	whole.count()
	return whole
}

func (r *checkReport) find(check string) (checkInfo, bool) {
	for _, c := range r.Checks {
		if c.Check == check {
			return c, true
		}
	}
	return checkInfo{}, false
}

// states is what build.json says of the checks of one program.
func states(t targets.Target, r *checkReport, program string) []checkResult {
	var out []checkResult
	for _, c := range checksFor(t) {
		state := notRun
		for _, p := range r.Programs {
			cell, ok := p.Cells[c]
			if p.Program != program || !ok {
				continue
			}
			if state = string(cell.State); cell.State == tritoncheck.NotPossible {
				state += ", because " + cell.Why
			} else if cell.State == tritoncheck.Failed {
				state += ": " + cell.Why
			}
		}
		out = append(out, checkResult{c, state})
	}
	return out
}

// provedTier is how far the checks prove a build of so many programs.
func provedTier(t targets.Target, r *checkReport, programs int) targets.Tier {
	all := func(check string) bool {
		n := 0
		for _, p := range r.Programs {
			if p.Cells[check].State == tritoncheck.Passed {
				n++
			}
		}
		return n == programs
	}
	aot, _ := r.find(checkAOT)
	switch {
	case r.Failed > 0 || !all(checkTile) || !all(checkTriton):
		return targets.Generated
	case all(checkAOT) && aot.Device != "" && !aot.StandIn:
		return targets.Compiled
	}
	return targets.Interpreted
}
