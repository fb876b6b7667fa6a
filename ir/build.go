package ir

import (
	"strconv"
	"strings"

	"flagc/internal/diag"
)

// Builder appends instructions to a function. It infers types, names results and shares instructions: the same
// pure op on the same operands with the same attributes is computed once, so that an input that several
// projections quantise is quantised once.
type Builder struct {
	Module *Module
	Func   *Func
	used   map[string]bool
	next   map[string]int // name.1 … name.(next-1) are used, so that long loops need no search
	shared map[string]*Instr
}

// NewBuilder starts building f, whose parameters are set already.
func NewBuilder(m *Module, f *Func) *Builder {
	b := &Builder{Module: m, Func: f, used: map[string]bool{}, next: map[string]int{}, shared: map[string]*Instr{}}
	for _, a := range f.Args {
		b.used[a.Name] = true
	}
	return b
}

// Op appends an instruction and returns it. args may end before optional operands. want is the type that the
// author ascribed to the first result, or nil. Errors are *InferError.
func (b *Builder) Op(op *Op, args []*Value, attrs Attrs, want *Type, at diag.Span) (*Instr, error) {
	full, err := op.Complete(attrs)
	if err != nil {
		return nil, err
	}
	types, err := op.Infer(args, full, b.Module.Names(), want)
	if err != nil {
		return nil, err
	}
	in := &Instr{Op: op, Args: args, Attrs: full, Span: at}
	key := in.String()
	for _, t := range types {
		key += t.Describe()
	}
	if have := b.shared[key]; have != nil && op.Updates == nil {
		return have, nil
	}
	b.shared[key] = in
	for i, t := range types {
		name := op.sig.out[i].name
		if len(types) == 1 {
			name = defaultName(op, args)
		}
		in.Results = append(in.Results, &Value{Kind: ResultValue, Name: b.Unique(name), Type: t, Def: in, Span: at})
	}
	b.Func.Body = append(b.Func.Body, in)
	return in, nil
}

// defaultName names a result that the author has not named: a projection after its matrix, anything else
// after its op.
func defaultName(op *Op, args []*Value) string {
	for _, a := range args {
		if op.Class == Contraction && a != nil && a.Kind == WeightValue && len(a.Type.Dims) > 1 {
			return a.Name
		}
	}
	return op.Name
}

// Append adds an instruction that is built already; its results keep their names.
func (b *Builder) Append(in *Instr) {
	for _, v := range in.Results {
		b.used[v.Name] = true
	}
	b.Func.Body = append(b.Func.Body, in)
}

// Call appends a call of f at an instance of its parameter set.
func (b *Builder) Call(f *Func, args []*Value, instance string, at diag.Span) *Instr {
	in := &Instr{Callee: f, Args: args, At: instance, Span: at}
	for _, t := range f.Results {
		v := &Value{Kind: ResultValue, Name: b.Unique(f.Name), Type: t, Def: in, Span: at}
		in.Results = append(in.Results, v)
	}
	b.Func.Body = append(b.Func.Body, in)
	return in
}

// Unique returns name, or name.1, name.2, … if it is taken in the function.
func (b *Builder) Unique(name string) string {
	unique := name
	if b.used[name] {
		i := max(1, b.next[name])
		for unique = numbered(name, i); b.used[unique]; unique = numbered(name, i) {
			i++
		}
		b.next[name] = i + 1
	}
	b.used[unique] = true
	return unique
}

func numbered(name string, i int) string { return name + "." + strconv.Itoa(i) }

// Rename gives a result the name that the model's author gave it; a value that has an author's name keeps it.
func (b *Builder) Rename(v *Value, name string) {
	delete(b.used, v.Name)
	if dot := strings.LastIndexByte(v.Name, '.'); dot >= 0 {
		if i, err := strconv.Atoi(v.Name[dot+1:]); err == nil {
			b.next[v.Name[:dot]] = min(b.next[v.Name[:dot]], i)
		}
	}
	v.Name = b.Unique(name)
}
