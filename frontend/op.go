package frontend

import (
	"errors"
	"slices"
	"sort"
	"strings"

	"flagc/internal/diag"
	"flagc/ir"
)

// callOp appends an instruction: arguments by position are operands, those by name attributes.
func (f *frame) callOp(r *Ref, op *ir.Op, args []argument) result {
	var operands []*ir.Value
	var attrs ir.Attrs
	for _, a := range args {
		if a.name != "" {
			v, ok := f.attribute(op, attrs, a)
			if !ok {
				return poison
			}
			attrs = append(attrs, ir.Attr{Name: a.name, Value: v})
			continue
		}
		if a.static != nil && len(op.Attrs) > 0 {
			f.fail(a.node, "an operand of %s must be a tensor, but %s is the static value %s", op.Name, a.text,
				show(a.static)).WithHelp("attributes are given by name: %s", attributeList(op))
			return poison
		}
		v, ok := f.tensor(a.result, a.node, op.Name)
		if !ok {
			return poison
		}
		operands = append(operands, v)
	}
	in, err := f.fn.b.Op(op, operands, attrs, nil, f.where(r.node))
	if err != nil {
		f.opError(r, op, args, err)
		return poison
	}
	for i, operand := range op.Updates {
		if s := f.stateOf(operands[operand]); s != nil {
			f.fn.pending[s] = pending{f.where(r.node), op.Name, in.Results[i]}
		}
	}
	return result{values: in.Results}
}

// stateOf finds the state whose current value v is, or nil.
func (f *frame) stateOf(v *ir.Value) *ir.State {
	for _, s := range f.fn.ir.Params.States {
		if now := f.fn.now[s]; now == v || now == nil && s.Value == v {
			return s
		}
	}
	return nil
}

// attributeList names an op's attributes as calls write them.
func attributeList(op *ir.Op) string {
	words := make([]string, len(op.Attrs))
	for i, d := range op.Attrs {
		words[i] = d.Name + ": …"
	}
	return strings.Join(words, ", ")
}

// attribute makes a static argument the value of an attribute.
func (f *frame) attribute(op *ir.Op, have ir.Attrs, a argument) (any, bool) {
	decl := op.Attr(a.name)
	if decl == nil {
		names := make([]string, len(op.Attrs))
		for i, d := range op.Attrs {
			names[i] = d.Name
		}
		d := f.fail(a.node, "%s has no attribute %s", op.Name, a.name)
		d.Help = didYouMean(a.name, names...)
		if slices.Contains(op.Operands(), a.name) {
			d.WithHelp("operands are given by position, without a name")
		}
		return nil, false
	}
	if have.Get(a.name) != nil {
		f.fail(a.node, "the attribute %s is given twice", a.name)
		return nil, false
	}
	v, ok := f.static(a.result, a.expr.node, "the attribute "+a.name)
	switch x := v.(type) {
	case integer:
		if x.negative() && decl.Kind == ir.SizeAttr {
			f.fail(a.node, "the attribute %s is a size and cannot be %s", a.name, show(x))
			return nil, false
		}
		return x.dim(), ok
	case list:
		f.fail(a.node, "the attribute %s must be %s, not a list", a.name, decl.Kind)
		return nil, false
	}
	return v, ok
}

// opError reports what an op refuses, at the guilty argument where one is.
func (f *frame) opError(r *Ref, op *ir.Op, args []argument, err error) {
	var infer *ir.InferError
	at := r.node
	guilty := -1
	if errors.As(err, &infer) {
		guilty = guiltyArg(args, infer)
	}
	if guilty >= 0 {
		at = args[guilty].node
	}
	message := f.words(err, args)
	if !strings.HasPrefix(message, op.Name) && !strings.Contains(message, " of "+op.Name) {
		message = op.Name + ": " + message
	}
	var d *diag.Diagnostic
	if f.site != nil && guilty >= 0 && infer.Operand >= 0 {
		// A helper is right for most that it is given: the caller gave it something that does not fit.
		d = f.report(args[guilty].at, "%s", message).WithNote(f.span(r.node), "in %s", f.site.name)
	} else {
		d = f.fail(at, "%s", message)
	}
	if infer == nil {
		return
	}
	d.Help = infer.Help
	if infer.Operand >= 0 {
		for i := 0; i <= guilty; i++ {
			if len(args[i].values) == 1 && strings.Contains(message, args[i].text) {
				f.declared(d, args[i].values[0])
			}
		}
	}
}

// guiltyArg finds the argument that an InferError means, or -1.
func guiltyArg(args []argument, err *ir.InferError) int {
	operand := 0
	for i, a := range args {
		if a.name != "" {
			if a.name == err.Attr {
				return i
			}
			continue
		}
		if operand == err.Operand {
			return i
		}
		operand++
	}
	return -1
}

// declared adds where a weight or a state comes from, and what it is.
func (f *frame) declared(d *diag.Diagnostic, v *ir.Value) {
	if v.Kind == ir.WeightValue || v.Kind == ir.StateValue {
		d.WithNote(v.Span, "%s is %s, declared here", v.Name, v.Type)
	}
}

// words says an op's error with the names that the author gave to things.
func (f *frame) words(err error, args []argument) string {
	message := err.Error()
	var infer *ir.InferError
	if errors.As(err, &infer) {
		message = infer.Msg
	}
	byRef := map[string]string{}
	var refs []string
	for _, a := range args {
		if len(a.values) == 1 {
			ref := a.values[0].Ref()
			if byRef[ref] == "" {
				refs = append(refs, ref)
			}
			byRef[ref] = a.text
		}
	}
	sort.Slice(refs, func(i, j int) bool { return len(refs[i]) > len(refs[j]) })
	for _, ref := range refs {
		message = strings.ReplaceAll(message, ref, byRef[ref])
	}
	return message
}
