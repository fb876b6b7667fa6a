package tile

import "fmt"

// Builder fills a program. Methods panic on operands that cannot go together: that is a mistake of the code that
// builds, never of a user's input.
type Builder struct {
	Program *Program
	block   *Block
	note    string
}

// NewBuilder starts an empty program.
func NewBuilder(name string) *Builder {
	p := &Program{Name: name, Body: &Block{}, Launch: Launch{Warps: 4, Stages: 1}}
	return &Builder{Program: p, block: p.Body}
}

// Pointer adds a pointer parameter, or returns the one that is there.
func (b *Builder) Pointer(name string, d DType, access Access, doc string, shape ...string) *Param {
	if p := b.Program.Param(name); p != nil {
		if p.Access != access {
			p.Access = InOut
		}
		return p
	}
	p := &Param{Name: name, Pointer: true, DType: d, Access: access, Shape: shape, Doc: doc}
	at := 0 // pointers before scalars
	for at < len(b.Program.Params) && b.Program.Params[at].Pointer {
		at++
	}
	b.Program.Params = append(b.Program.Params[:at:at], append([]*Param{p}, b.Program.Params[at:]...)...)
	return p
}

// Scalar returns the value of the i32 parameter of that name, which it adds if it is not there.
func (b *Builder) Scalar(name, doc string) *Value {
	p := b.Program.Param(name)
	if p == nil {
		p = &Param{Name: name, DType: I32, Access: In, Doc: doc}
		b.Program.Params = append(b.Program.Params, p)
	}
	return b.emit(&Op{Code: Scalar, Param: p}, I32)
}

// Const declares a named constant, or returns its extent if it is there.
func (b *Builder) Const(name string, value int, doc string) Dim {
	if c := b.Program.Const(name); c == nil {
		b.Program.Consts = append(b.Program.Consts, &Const{name, value, doc})
	} else if c.Value != value {
		panic(fmt.Sprintf("BUG: constant %s is %d and %d", name, c.Value, value))
	}
	return Dim{value, name}
}

// D is an extent without a name.
func D(n int) Dim { return Dim{Size: n} }

// Note puts a comment before the next op.
func (b *Builder) Note(format string, args ...any) { b.note = fmt.Sprintf(format, args...) }

func (b *Builder) emit(op *Op, d DType, shape ...Dim) *Value {
	v := &Value{DType: d, Shape: shape, Def: op}
	op.Results = append(op.Results, v)
	b.add(op)
	return v
}

func (b *Builder) add(op *Op) {
	op.Note, b.note = b.note, ""
	b.block.Ops = append(b.block.Ops, op)
}

// Named gives a value its name in the text, unless it has one.
func (v *Value) Named(format string, args ...any) *Value {
	if v.Name == "" {
		v.Name = fmt.Sprintf(format, args...)
	}
	return v
}

// ProgramID is the number of the instance.
func (b *Builder) ProgramID() *Value { return b.emit(&Op{Code: ProgramID}, I32) }

// Int is an i32 constant.
func (b *Builder) Int(n int) *Value { return b.emit(&Op{Code: ConstInt, Int: int64(n)}, I32) }

// IntOf is a named constant as a value.
func (b *Builder) IntOf(d Dim) *Value {
	if d.Name == "" {
		return b.Int(d.Size)
	}
	return b.emit(&Op{Code: ConstInt, Int: int64(d.Size), Const: b.Program.Const(d.Name)}, I32)
}

// Float is an f32 constant.
func (b *Builder) Float(x float64) *Value { return b.emit(&Op{Code: ConstFloat, Float: x}, F32) }

// Range is 0 … n-1.
func (b *Builder) Range(n Dim) *Value { return b.emit(&Op{Code: Range}, I32, n) }

// Full is a tile of one scalar.
func (b *Builder) Full(x *Value, shape ...Dim) *Value {
	return b.emit(&Op{Code: Full, Args: []*Value{x}}, x.DType, shape...)
}

// Zeros is a tile of f32 zeros.
func (b *Builder) Zeros(shape ...Dim) *Value { return b.Full(b.Float(0), shape...) }

// Expand inserts an axis of extent 1.
func (b *Builder) Expand(x *Value, axis int) *Value {
	shape := append([]Dim{}, x.Shape[:axis]...)
	shape = append(append(shape, D(1)), x.Shape[axis:]...)
	return b.emit(&Op{Code: Expand, Args: []*Value{x}, Axis: axis}, x.DType, shape...)
}

// Row makes a vector a row: [n] to [1, n].
func (b *Builder) Row(x *Value) *Value { return b.Expand(x, 0) }

// Col makes a vector a column: [n] to [n, 1].
func (b *Builder) Col(x *Value) *Value { return b.Expand(x, len(x.Shape)) }

// BroadcastTo repeats x along axes of extent 1.
func (b *Builder) BroadcastTo(x *Value, shape ...Dim) *Value {
	if len(x.Shape) == 0 {
		return b.Full(x, shape...)
	}
	return b.emit(&Op{Code: Broadcast, Args: []*Value{x}}, x.DType, shape...)
}

// Reshape regroups the elements.
func (b *Builder) Reshape(x *Value, shape ...Dim) *Value {
	n := 1
	for _, d := range shape {
		n *= d.Size
	}
	if n != x.Len() {
		panic(fmt.Sprintf("BUG: reshape of %v to %v", x.Sizes(), shape))
	}
	return b.emit(&Op{Code: Reshape, Args: []*Value{x}}, x.DType, shape...)
}

// Transpose orders axes by perm.
func (b *Builder) Transpose(x *Value, perm ...int) *Value {
	shape := make([]Dim, len(perm))
	for i, a := range perm {
		shape[i] = x.Shape[a]
	}
	return b.emit(&Op{Code: Transpose, Args: []*Value{x}, Perm: perm}, x.DType, shape...)
}

// Unary applies an elementwise op.
func (b *Builder) Unary(c Code, x *Value) *Value {
	return b.emit(&Op{Code: c, Args: []*Value{x}}, x.DType, x.Shape...)
}

// Binary applies an elementwise op to operands whose shapes go together.
func (b *Builder) Binary(c Code, x, y *Value) *Value {
	shape, err := joint(x.Shape, y.Shape)
	if err != nil || x.DType != y.DType {
		panic(fmt.Sprintf("BUG: %s of %s%v and %s%v", c, x.DType, x.Sizes(), y.DType, y.Sizes()))
	}
	d := x.DType
	if c.IsComparison() {
		d = Bool
	}
	return b.emit(&Op{Code: c, Args: []*Value{x, y}}, d, shape...)
}

// joint is the shape of an elementwise result.
func joint(x, y []Dim) ([]Dim, error) {
	if len(x) == 0 {
		return y, nil
	}
	if len(y) == 0 {
		return x, nil
	}
	if len(x) != len(y) {
		return nil, fmt.Errorf("%d axes and %d", len(x), len(y))
	}
	out := make([]Dim, len(x))
	for i := range x {
		switch {
		case x[i].Size == y[i].Size:
			if out[i] = x[i]; out[i].Name == "" {
				out[i] = y[i]
			}
		case y[i].Size == 1:
			out[i] = x[i]
		case x[i].Size == 1:
			out[i] = y[i]
		default:
			return nil, fmt.Errorf("extents %d and %d of axis %d", x[i].Size, y[i].Size, i)
		}
	}
	return out, nil
}

// The elementwise ops by name.
func (b *Builder) Add(x, y *Value) *Value     { return b.Binary(Add, x, y) }
func (b *Builder) Sub(x, y *Value) *Value     { return b.Binary(Sub, x, y) }
func (b *Builder) Mul(x, y *Value) *Value     { return b.Binary(Mul, x, y) }
func (b *Builder) Div(x, y *Value) *Value     { return b.Binary(Div, x, y) }
func (b *Builder) Mod(x, y *Value) *Value     { return b.Binary(Mod, x, y) }
func (b *Builder) Minimum(x, y *Value) *Value { return b.Binary(Minimum, x, y) }
func (b *Builder) Maximum(x, y *Value) *Value { return b.Binary(Maximum, x, y) }
func (b *Builder) And(x, y *Value) *Value     { return b.Binary(And, x, y) }
func (b *Builder) Or(x, y *Value) *Value      { return b.Binary(Or, x, y) }
func (b *Builder) Xor(x, y *Value) *Value     { return b.Binary(Xor, x, y) }
func (b *Builder) Shl(x *Value, n int) *Value { return b.Binary(Shl, x, b.Int(n)) }
func (b *Builder) Shr(x *Value, n int) *Value { return b.Binary(Shr, x, b.Int(n)) }
func (b *Builder) Lt(x, y *Value) *Value      { return b.Binary(Lt, x, y) }
func (b *Builder) Le(x, y *Value) *Value      { return b.Binary(Le, x, y) }
func (b *Builder) Gt(x, y *Value) *Value      { return b.Binary(Gt, x, y) }
func (b *Builder) Ge(x, y *Value) *Value      { return b.Binary(Ge, x, y) }
func (b *Builder) Eq(x, y *Value) *Value      { return b.Binary(Eq, x, y) }
func (b *Builder) Ne(x, y *Value) *Value      { return b.Binary(Ne, x, y) }
func (b *Builder) Neg(x *Value) *Value        { return b.Unary(Neg, x) }
func (b *Builder) Abs(x *Value) *Value        { return b.Unary(Abs, x) }
func (b *Builder) Exp(x *Value) *Value        { return b.Unary(Exp, x) }
func (b *Builder) Log(x *Value) *Value        { return b.Unary(Log, x) }
func (b *Builder) Sqrt(x *Value) *Value       { return b.Unary(Sqrt, x) }
func (b *Builder) Rsqrt(x *Value) *Value      { return b.Unary(Rsqrt, x) }
func (b *Builder) Floor(x *Value) *Value      { return b.Unary(Floor, x) }
func (b *Builder) Not(x *Value) *Value        { return b.Unary(Not, x) }

// The same with a constant on the right.
func (b *Builder) AddI(x *Value, n int) *Value     { return b.Add(x, b.Int(n)) }
func (b *Builder) SubI(x *Value, n int) *Value     { return b.Sub(x, b.Int(n)) }
func (b *Builder) MulI(x *Value, n int) *Value     { return b.Mul(x, b.Int(n)) }
func (b *Builder) DivI(x *Value, n int) *Value     { return b.Div(x, b.Int(n)) }
func (b *Builder) ModI(x *Value, n int) *Value     { return b.Mod(x, b.Int(n)) }
func (b *Builder) AndI(x *Value, n int) *Value     { return b.And(x, b.Int(n)) }
func (b *Builder) LtI(x *Value, n int) *Value      { return b.Lt(x, b.Int(n)) }
func (b *Builder) GeI(x *Value, n int) *Value      { return b.Ge(x, b.Int(n)) }
func (b *Builder) EqI(x *Value, n int) *Value      { return b.Eq(x, b.Int(n)) }
func (b *Builder) AddF(x *Value, f float64) *Value { return b.Add(x, b.Float(f)) }
func (b *Builder) MulF(x *Value, f float64) *Value { return b.Mul(x, b.Float(f)) }
func (b *Builder) MaxF(x *Value, f float64) *Value { return b.Maximum(x, b.Float(f)) }
func (b *Builder) MinF(x *Value, f float64) *Value { return b.Minimum(x, b.Float(f)) }

// Where chooses elementwise.
func (b *Builder) Where(cond, x, y *Value) *Value {
	shape, err := joint(x.Shape, y.Shape)
	if err == nil {
		shape, err = joint(cond.Shape, shape)
	}
	if err != nil || x.DType != y.DType || cond.DType != Bool {
		panic(fmt.Sprintf("BUG: where of %v: %s%v, %s%v", cond.Sizes(), x.DType, x.Sizes(), y.DType, y.Sizes()))
	}
	return b.emit(&Op{Code: Where, Args: []*Value{cond, x, y}}, x.DType, shape...)
}

// Cast converts to another number format.
func (b *Builder) Cast(x *Value, d DType) *Value {
	if x.DType == d {
		return x
	}
	return b.emit(&Op{Code: Cast, Args: []*Value{x}}, d, x.Shape...)
}

// Round rounds f32 to another format's grid and stays f32.
func (b *Builder) Round(x *Value, d DType) *Value { return b.Cast(b.Cast(x, d), F32) }

// Bitcast takes the bits as another format of the same width.
func (b *Builder) Bitcast(x *Value, d DType) *Value {
	return b.emit(&Op{Code: Bitcast, Args: []*Value{x}}, d, x.Shape...)
}

// Reduce removes an axis by Sum, Max or Min.
func (b *Builder) Reduce(c Code, x *Value, axis int) *Value {
	shape := append(append([]Dim{}, x.Shape[:axis]...), x.Shape[axis+1:]...)
	return b.emit(&Op{Code: c, Args: []*Value{x}, Axis: axis}, x.DType, shape...)
}

// Sum adds up along an axis.
func (b *Builder) Sum(x *Value, axis int) *Value { return b.Reduce(Sum, x, axis) }

// Max is the maximum along an axis.
func (b *Builder) Max(x *Value, axis int) *Value { return b.Reduce(Max, x, axis) }

// Dot is acc + x·y.
func (b *Builder) Dot(x, y, acc *Value) *Value {
	return b.emit(&Op{Code: Dot, Args: []*Value{x, y, acc}}, F32, x.Shape[0], y.Shape[1])
}

// Load reads elements; lanes whose mask is false hold other, or anything if that is NaN. A nil mask reads all.
func (b *Builder) Load(p *Param, offsets, mask *Value, other float64) *Value {
	shape := offsets.Shape
	if mask != nil {
		shape, _ = joint(offsets.Shape, mask.Shape)
	}
	return b.emit(&Op{Code: Load, Param: p, Args: []*Value{offsets, mask}, Float: other}, p.DType, shape...)
}

// LoadF32 reads elements and widens them.
func (b *Builder) LoadF32(p *Param, offsets, mask *Value, other float64) *Value {
	return b.Cast(b.Load(p, offsets, mask, other), F32)
}

// Store writes elements whose mask is true, rounded to the parameter's format. A nil mask writes all.
func (b *Builder) Store(p *Param, offsets, x, mask *Value) {
	if p.Access == In {
		p.Access = InOut
	}
	b.add(&Op{Code: Store, Param: p, Args: []*Value{offsets, b.Cast(x, p.DType), mask}})
}

// AtomicAdd adds to one i32 element and returns what it was.
func (b *Builder) AtomicAdd(p *Param, offset, x *Value) *Value {
	p.Access = InOut
	return b.emit(&Op{Code: AtomicAdd, Param: p, Args: []*Value{offset, x}}, I32)
}

// Barrier waits until all threads of the instance have stored.
func (b *Builder) Barrier() { b.add(&Op{Code: Barrier}) }

// Wait waits until the launch before has ended.
func (b *Builder) Wait() { b.add(&Op{Code: Wait}) }

// Loop counts from a value to another by step. Body takes the counter and the carried values and returns those of
// the next round; the results are the last.
func (b *Builder) Loop(name string, from, to *Value, step int, init []*Value,
	body func(i *Value, carried []*Value) []*Value) []*Value {
	return b.rounds(&Op{Code: Loop, Step: step}, name, from, to, init, body)
}

// LoopWhile is a Loop that ends before a round in which the first carried value, a scalar of Bool, does not hold.
func (b *Builder) LoopWhile(name string, from, to *Value, step int, init []*Value,
	body func(i *Value, carried []*Value) []*Value) []*Value {
	return b.rounds(&Op{Code: Loop, Step: step, While: true}, name, from, to, init, body)
}

func (b *Builder) rounds(op *Op, name string, from, to *Value, init []*Value,
	body func(i *Value, carried []*Value) []*Value) []*Value {
	op.Args, op.Body = append([]*Value{from, to}, init...), &Block{}
	counter := &Value{Name: name, DType: I32}
	op.Body.Args = append(op.Body.Args, counter)
	var carried []*Value
	for _, v := range init {
		c := &Value{Name: v.Name, DType: v.DType, Shape: v.Shape}
		carried = append(carried, c)
		op.Results = append(op.Results, &Value{Name: v.Name, DType: v.DType, Shape: v.Shape, Def: op})
	}
	op.Body.Args = append(op.Body.Args, carried...)
	b.add(op)
	outer := b.block
	b.block = op.Body
	op.Body.Yield = body(counter, carried)
	b.block = outer
	if len(op.Body.Yield) != len(init) {
		panic("BUG: a loop yields other values than it carries")
	}
	return op.Results
}

// If runs then where the scalar condition holds, and otherwise, if there is one, the second.
func (b *Builder) If(cond *Value, then, otherwise func()) {
	op := &Op{Code: If, Args: []*Value{cond}, Body: &Block{}}
	b.add(op)
	outer := b.block
	b.block = op.Body
	then()
	if otherwise != nil {
		op.Else = &Block{}
		b.block = op.Else
		otherwise()
	}
	b.block = outer
}
