package tile

import "fmt"

// DType is the number format of a tile's elements or of what a pointer points to.
type DType uint8

// The number formats. Computation is in F32, I32, I64 and Bool; the others are stored, loaded, converted and
// multiplied. I8 is also how packed e2m1 pairs, ue8m0 scales and, where a machine has no pointers to them, e4m3
// values are stored: as bytes.
const (
	Bool DType = iota + 1
	I8
	I32
	I64
	E4M3
	BF16
	F16
	F32
)

var dtypeNames = [...]string{"", "i1", "i8", "i32", "i64", "e4m3", "bf16", "f16", "f32"}

// String is the name in text.
func (d DType) String() string {
	if int(d) >= len(dtypeNames) || d == 0 {
		return fmt.Sprintf("DType(%d)", uint8(d))
	}
	return dtypeNames[d]
}

// Bytes is the storage of one element.
func (d DType) Bytes() int { return [...]int{0, 1, 1, 4, 8, 1, 2, 2, 4}[d] }

// IsFloat reports whether elements are floating-point numbers.
func (d DType) IsFloat() bool { return d >= E4M3 }

// Const is a named whole number that a program is specialised for. Prints use the name.
type Const struct {
	Name  string
	Value int
	Doc   string // what it is, a few words
}

// Access says what a program does with what a pointer points to.
type Access string

// The kinds of access.
const (
	In    Access = "in"
	Out   Access = "out"
	InOut Access = "inout"
)

// Param is an argument of a program: a pointer to elements, or an i32 scalar.
type Param struct {
	Name    string
	Pointer bool
	DType   DType
	Access  Access // of pointers
	// Shape is the extent of what a pointer points to, outermost axis first, as expressions over scalars and
	// constants; the product is how many elements there are.
	Shape []string
	// Settled says of a pointer that is only read that no launch which may still run as this one begins writes what it points
	// to, so that it can be read before the wait.
	Settled bool
	Doc     string
}

// Program is one kernel.
type Program struct {
	Name   string
	Doc    string // the mathematics, then shapes; lines
	Params []*Param
	Consts []*Const
	// Grid is the number of instances, an expression over scalar parameters and constants. Where it is 0 there is nothing to
	// launch.
	Grid   string
	Body   *Block
	Launch Launch
	Source string // where in the model's source it comes from, such as "deepseek_v4.flag:140"
	Bytes  string // that one launch must move at least, an expression; "" if unknown
	Flops  string
}

// Launch is how a program is started and compiled.
type Launch struct {
	Warps      int
	Stages     int
	Registers  int // that a thread may have at most, 0 for as many as the compiler likes
	Dependents Dependents
}

// Dependents is how a launch overlaps with the one before and the one behind, where a machine has dependent launches: a
// program that may begin early waits for the launch before it (Wait) ahead of what that may have to do with.
type Dependents string

const (
	NoDependents    Dependents = ""      // launches follow each other
	LateDependents  Dependents = "late"  // the next launch begins as this one ends
	EarlyDependents Dependents = "early" // the next launch begins, and waits, once the one before this has ended
)

// Dim is one extent of a tile, with the name of the constant that it is, if any.
type Dim struct {
	Size int
	Name string
}

// Value is a tile or, without dimensions, a scalar.
type Value struct {
	Name  string // as the author called it; "" for a part of a larger expression
	DType DType
	Shape []Dim
	Def   *Op // nil for what a block takes: loop counters and carried values
}

// Sizes are the extents as numbers.
func (v *Value) Sizes() []int {
	out := make([]int, len(v.Shape))
	for i, d := range v.Shape {
		out[i] = d.Size
	}
	return out
}

// Len is the number of elements.
func (v *Value) Len() int {
	n := 1
	for _, d := range v.Shape {
		n *= d.Size
	}
	return n
}

// Block is a sequence of ops. The body of a loop takes its counter and the carried values, and yields the carried
// values of the next round.
type Block struct {
	Args  []*Value
	Ops   []*Op
	Yield []*Value
}

// Op is one step.
type Op struct {
	Code    Code
	Args    []*Value
	Results []*Value

	Param *Param  // Load, Store, AtomicAdd, Scalar
	Const *Const  // ConstInt of a named constant
	Int   int64   // ConstInt
	Float float64 // ConstFloat; the value of masked lanes of Load
	Axis  int     // Expand, Sum, Max, Min
	Perm  []int   // Transpose
	Step  int     // Loop
	While bool    // Loop: only as long as the first carried value holds, a scalar of Bool
	Body  *Block  // Loop, If
	Else  *Block  // If; nil for none
	Note  string  // a comment on the line before; for If of sections what the branch does
}

// Code is what an op does.
type Code uint8

// The ops. Elementwise ops take operands of one shape, or of shapes that repeat along axes of extent 1, or scalars.
const (
	ProgramID  Code = iota + 1 // number of the instance, from 0
	Scalar                     // value of a scalar parameter
	ConstInt                   // i32, or the DType of the result
	ConstFloat                 // f32
	Range                      // 0, 1, … n-1 as a tile of i32
	Full                       // a tile of one scalar: Args[0] in the result's shape

	Expand    // a new axis of extent 1 at Axis
	Broadcast // to the result's shape
	Reshape   // row-major, to the result's shape
	Transpose // axes in order Perm

	Neg
	Abs
	Exp
	Log
	Sqrt
	Rsqrt
	Floor
	Not // of Bool

	Add
	Sub
	Mul
	Div // of floats: rounded to nearest; of integers: towards zero, operands are never negative
	Mod // of integers that are never negative
	Minimum
	Maximum
	And // of integers and Bool
	Or
	Xor
	Shl
	Shr // arithmetic
	Lt
	Le
	Gt
	Ge
	Eq
	Ne

	Where   // Args: condition, then, else
	Cast    // to the result's DType: floats round to nearest even (e4m3 saturates), floats to integers truncate
	Bitcast // same bits, same width

	Sum // over Axis, which disappears
	Max
	Min
	Dot // Args a [M,K], b [K,N], acc [M,N] f32: acc + a·b, products exact, sums in f32

	Load      // Args: offsets, mask or nil; Float is what masked lanes hold
	Store     // Args: offsets, value, mask or nil; rounds to the parameter's DType
	AtomicAdd // Args: offset, value, both i32 scalars; the result is the old value; orders memory both ways
	Barrier   // all threads of the instance have written what they store before it
	Wait      // the launch before has ended: what it wrote can be read

	Loop // Args: from, to, initial values…; Step a constant; Results: final values
	If   // Args: condition; no results
)

var codeNames = [...]string{
	ProgramID: "program_id", Scalar: "scalar", ConstInt: "int", ConstFloat: "float", Range: "range", Full: "full",
	Expand: "expand", Broadcast: "broadcast", Reshape: "reshape", Transpose: "transpose",
	Neg: "neg", Abs: "abs", Exp: "exp", Log: "log", Sqrt: "sqrt", Rsqrt: "rsqrt", Floor: "floor", Not: "not",
	Add: "add", Sub: "sub", Mul: "mul", Div: "div", Mod: "mod", Minimum: "minimum", Maximum: "maximum",
	And: "and", Or: "or", Xor: "xor", Shl: "shl", Shr: "shr",
	Lt: "lt", Le: "le", Gt: "gt", Ge: "ge", Eq: "eq", Ne: "ne",
	Where: "where", Cast: "cast", Bitcast: "bitcast", Sum: "sum", Max: "max", Min: "min", Dot: "dot",
	Load: "load", Store: "store", AtomicAdd: "atomic_add", Barrier: "barrier", Wait: "wait", Loop: "loop", If: "if",
}

// String is the op's name in text.
func (c Code) String() string {
	if int(c) >= len(codeNames) || c == 0 {
		return fmt.Sprintf("Code(%d)", uint8(c))
	}
	return codeNames[c]
}

// IsUnary reports whether the op computes elementwise from one operand.
func (c Code) IsUnary() bool { return c >= Neg && c <= Not }

// IsBinary reports whether the op computes elementwise from two operands.
func (c Code) IsBinary() bool { return c >= Add && c <= Ne }

// IsComparison reports whether the op yields Bool from two numbers.
func (c Code) IsComparison() bool { return c >= Lt && c <= Ne }

// IsReduction reports whether an axis disappears.
func (c Code) IsReduction() bool { return c >= Sum && c <= Min }

// Acts reports whether the op itself does more than yield a value; a loop or a branch does what its ops do.
func (c Code) Acts() bool { return c >= Store && c < Loop }

// HasEffect reports whether the op does more than yield a value.
func (c Code) HasEffect() bool { return c >= Store }

// Param returns the parameter of that name, or nil.
func (p *Program) Param(name string) *Param {
	for _, q := range p.Params {
		if q.Name == name {
			return q
		}
	}
	return nil
}

// Const returns the constant of that name, or nil.
func (p *Program) Const(name string) *Const {
	for _, c := range p.Consts {
		if c.Name == name {
			return c
		}
	}
	return nil
}

// Walk calls f for every op in order of the text, those of nested blocks behind the op that holds them.
func (b *Block) Walk(f func(*Op)) {
	if b == nil {
		return
	}
	for _, op := range b.Ops {
		f(op)
		op.Body.Walk(f)
		op.Else.Walk(f)
	}
}
