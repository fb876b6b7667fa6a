package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"sync/atomic"
	"time"

	"flagc/codegen/triton"
	"flagc/internal/tritoncheck"
	"flagc/internal/verify"
	"flagc/targets"
)

// checkRun fills the cells of a report.
type checkRun struct {
	a        *app
	b        *openBuild
	report   *checkReport
	kernels  []string // of the graph, by full name
	progress *progress
	done     atomic.Int64
	total    int
}

// runChecks runs checks on the programs of a build, or on those that name stands for.
func (a *app) runChecks(ctx context.Context, b *openBuild, checks []string, name string) (*checkReport, error) {
	r := &checkRun{a: a, b: b, report: newReport(b)}
	if err := r.choose(name); err != nil {
		return nil, err
	}
	if _, ok := b.target.Toolchain.FrontEnd.Get(); !ok {
		if len(checks) == 1 && checks[0] == checkAscend {
			return nil, fmt.Errorf("target %s has no public front end, so there is no check %s for it; it has %v", b.target.Name,
				checkAscend, checksFor(b.target))
		}
		checks = slices.DeleteFunc(slices.Clone(checks), func(c string) bool { return c == checkAscend })
	}
	for _, c := range checks {
		r.report.Checks = append(r.report.Checks, checkInfo{Check: c})
		if c == checkTile || c == checkTriton {
			r.total += len(r.kernels)
		} else {
			r.total += len(r.report.Programs)
		}
	}
	r.progress = a.progress("verify", "checks")
	defer r.progress.Done()
	for i, c := range checks {
		if err := r.run(ctx, &r.report.Checks[i]); err != nil {
			return nil, fmt.Errorf("check %s: %w", c, err)
		}
		if ctx.Err() != nil {
			return nil, fmt.Errorf("stopped: results so far are kept, flagc verify %s goes on with them", b.dir)
		}
	}
	r.report.count()
	return r.report, nil
}

// choose limits the report to a program or kernel; "" is all.
func (r *checkRun) choose(name string) error {
	var rows []checkedProgram
	var known []string
	for _, k := range r.b.built.Kernels {
		chosen := false
		for _, p := range k.Programs {
			known = append(known, p.Name)
			if name == "" || name == p.Name || name == k.Func.FullName() {
				rows, chosen = append(rows, checkedProgram{p.Name, k.Func.FullName(), map[string]tritoncheck.Cell{}}), true
			}
		}
		if chosen {
			r.kernels = append(r.kernels, k.Func.FullName())
		}
	}
	if rows == nil {
		return unknownKernel(name, known)
	}
	r.report.Programs = rows
	return nil
}

func (r *checkRun) tell() { r.progress.Set(int(r.done.Add(1)), r.total) }

// run runs one check.
func (r *checkRun) run(ctx context.Context, c *checkInfo) error {
	switch c.Check {
	case checkTile:
		return r.values(ctx, c.Check, verify.Tiles)
	case checkTriton:
		return r.values(ctx, c.Check, verify.Text)
	case checkAOT:
		return r.compile(ctx, c)
	}
	return r.frontEnd(ctx, c.Check)
}

// values runs a check that computes. The programs of one launch are checked together.
func (r *checkRun) values(ctx context.Context, name string, check verify.Check) error {
	table, err := verify.Verify(ctx, r.b.module, r.b.target, verify.Options{
		Checks: []verify.Check{check}, Kernels: r.kernels,
		Done: func(string, verify.Check, tritoncheck.Cell, time.Duration) { r.tell() },
	})
	if err != nil {
		return err
	}
	cells := map[string]tritoncheck.Cell{}
	for _, row := range table.Rows {
		cells[row.Kernel] = row.Cells[check]
	}
	for _, p := range r.report.Programs {
		p.Cells[name] = cells[p.Kernel]
	}
	return nil
}

// everywhere gives all programs one cell.
func (r *checkRun) everywhere(check string, cell tritoncheck.Cell) {
	for _, p := range r.report.Programs {
		p.Cells[check] = cell
	}
}

// impossible says that a check cannot run here, or returns an error that means something else.
func (r *checkRun) impossible(check string, err error) error {
	var missing *tritoncheck.Unavailable
	if !errors.As(err, &missing) {
		return err
	}
	r.everywhere(check, tritoncheck.CellOf(err))
	return nil
}

// compile compiles every program ahead of time.
func (r *checkRun) compile(ctx context.Context, c *checkInfo) error {
	device, standIn, ok := deviceFor(r.b.target)
	if !ok {
		r.everywhere(c.Check, tritoncheck.Cell{State: tritoncheck.NotPossible,
			Why: fmt.Sprintf("no public compiler makes kernels for %s, and none is known to stand in", r.b.target.Name)})
		return nil
	}
	c.Device, c.StandIn = device.Name, standIn
	compiler, err := tritoncheck.NewCompiler(ctx)
	if err != nil {
		return r.impossible(c.Check, err)
	}
	defer compiler.Close()
	manifest, err := r.manifest()
	if err != nil {
		return err
	}
	results, err := compiler.CompileAll(ctx, manifest, []tritoncheck.Device{device}, func(*tritoncheck.Compiled) { r.tell() })
	if err != nil {
		return err
	}
	for i, p := range r.report.Programs {
		p.Cells[c.Check] = results[i].Cell()
	}
	return nil
}

// deviceFor is what kernels for a target are compiled for: the target itself, or what the target names as like it.
func deviceFor(t targets.Target) (d tritoncheck.Device, standIn, ok bool) {
	if t.Toolchain.AheadOfTime.Is(true) {
		for _, d := range tritoncheck.Devices {
			if t.Toolchain.Backend.Is(d.Backend) && t.Toolchain.Arch.Is(d.Arch) {
				return d, false, true
			}
		}
	}
	name, _ := t.Toolchain.StandIn.Get()
	d, ok = tritoncheck.DeviceNamed(name)
	return d, true, ok
}

// frontEnd lowers every program as far as the public part of the toolchain goes.
func (r *checkRun) frontEnd(ctx context.Context, check string) error {
	lowerer, err := tritoncheck.NewLowerer(ctx)
	if err != nil {
		return r.impossible(check, err)
	}
	defer lowerer.Close()
	manifest, err := r.manifest()
	if err != nil {
		return err
	}
	results, err := lowerer.LowerAll(ctx, manifest, func(*tritoncheck.Lowered) { r.tell() })
	if err != nil {
		return err
	}
	for i, p := range r.report.Programs {
		p.Cells[check] = results[i].Cell()
	}
	return nil
}

// manifest is kernels.json with the programs of the report, in its order.
func (r *checkRun) manifest() (*tritoncheck.Manifest, error) {
	files, err := r.b.built.Files()
	if err != nil {
		return nil, err
	}
	var all tritoncheck.Manifest
	if err := json.Unmarshal(files[triton.ManifestFile], &all); err != nil {
		return nil, err
	}
	m := &tritoncheck.Manifest{Format: all.Format, Target: all.Target, Dir: filepath.Join(r.b.dir, "kernels")}
	for _, p := range r.report.Programs {
		m.Kernels = append(m.Kernels, *all.Kernel(p.Program))
	}
	return m, nil
}
