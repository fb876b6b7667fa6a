package frontend

import (
	"maps"
	"strings"

	"flagc/internal/diag"
	"flagc/ir"
)

// suggest adds to the last error which visible values would fit where an argument does not: in a function
// that is thrown away it tries the call with each in place of each argument that is nothing but a name.
func (f *frame) suggest(run func(*frame, []argument) result, args []argument) {
	d := f.errs.last
	if d == nil || d.Help != "" {
		return
	}
	var offers []string
	for i, a := range args {
		if len(a.values) != 1 || a.name != "" || a.expr.name() == nil {
			continue
		}
		if name, v := f.fitting(run, args, i); v != nil {
			offers = append(offers, name+" ("+v.Type.String()+")")
		}
	}
	if len(offers) > 0 {
		d.WithHelp("did you mean %s?", strings.Join(offers, ", or "))
	}
}

// fitting finds a value of the same kind that makes the call succeed in place of argument i.
func (f *frame) fitting(run func(*frame, []argument) result, args []argument, i int) (string, *ir.Value) {
	now := args[i].values[0]
	same := func(n *entity) bool {
		return n.value != nil && n.value != now && (n.value.Kind == ir.WeightValue) == (now.Kind == ir.WeightValue)
	}
	// A vector fits many places that want a matrix, so weights of another rank are offered by their names only.
	names := f.scope.visible(func(n *entity) bool {
		return same(n) && (now.Kind != ir.WeightValue || len(n.value.Type.Dims) == len(now.Type.Dims))
	})
	if near := diag.Nearest(args[i].text, f.scope.visible(same)); near != "" {
		names = append([]string{near}, names...)
	}
	for _, name := range names {
		n, _ := f.scope.lookup(name)
		trial := append([]argument(nil), args...)
		trial[i].result = result{values: []*ir.Value{n.value}}
		if f.succeeds(run, trial) {
			return name, n.value
		}
	}
	return "", nil
}

// succeeds makes a call in a copy of the function, silently.
func (f *frame) succeeds(run func(*frame, []argument) result, args []argument) bool {
	errs, used := f.errs, f.used
	f.errs, f.used = &reports{}, maps.Clone(used)
	defer func() { f.errs, f.used = errs, used }()
	scratch := f.newFunction(&ir.Func{Name: f.fn.ir.Name, Mode: f.fn.mode, Params: f.fn.ir.Params})
	scratch.now, scratch.pending = maps.Clone(f.fn.now), maps.Clone(f.fn.pending)
	trial := *f
	trial.fn = scratch
	return !run(&trial, args).bad
}
