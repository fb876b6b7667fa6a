package frontend

import (
	"errors"
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
	return result{values: in.Results}
}

// attribute makes a static argument the value of an attribute.
func (f *frame) attribute(op *ir.Op, have ir.Attrs, a argument) (any, bool) {
	decl := op.Attr(a.name)
	if decl == nil {
		names := make([]string, len(op.Attrs))
		for i, d := range op.Attrs {
			names[i] = d.Name
		}
		f.fail(a.node, "%s has no attribute %s", op.Name, a.name).Help = didYouMean(a.name, names...)
		return nil, false
	}
	if have.Get(a.name) != nil {
		f.fail(a.node, "the attribute %s is given twice", a.name)
		return nil, false
	}
	v, ok := f.static(a.result, a.node, "the attribute "+a.name)
	switch x := v.(type) {
	case integer:
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
	d := f.fail(at, "%s", message)
	if f.site != nil && guilty >= 0 && args[guilty].at.Line == f.site.at.Line {
		d.Span = args[guilty].at
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
