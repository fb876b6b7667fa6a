package targets

// Support says how a machine does something.
type Support string

// The degrees of support.
const (
	Native   Support = "native"   // by a unit made for it
	Emulated Support = "emulated" // right but through other types: slower, never a reason to choose it
	None     Support = "none"     // refused by the compiler, or known to give wrong results
)

// Host is what the processor that runs the generated Go program offers.
type Host struct {
	// Executes says that the program's own kernels compute the model, without a device. The groups about
	// devices are then empty because they do not apply.
	Executes bool
}

// Memory is the device's own memory.
type Memory struct {
	Bytes     Known[Bytes] // capacity
	Usable    Known[Bytes] // what programs can get of it
	Bandwidth Known[Rate]  // peak of reading
	ReadRate  Known[Rate]  // what a kernel that only reads reaches
	CopyRate  Known[Rate]  // what a copy reaches, bytes read and written added
	L2        Known[Bytes] // the cache that all units share
}

// Link joins the devices of one host.
type Link struct {
	Bandwidth Known[Rate] // of one device, both directions added, as vendors state it
}

// Compute is peak arithmetic of one device.
type Compute struct {
	Units       Known[int]   // what programs are placed on: multiprocessors, clusters, cube cores
	VectorUnits Known[int]   // where vector kernels run on units of their own
	FP32        Known[Speed] // outside the matrix unit
	TF32        Known[Speed] // this and the following: matrix products of that operand type
	FP16        Known[Speed]
	BF16        Known[Speed]
	INT8        Known[Speed]
	FP8         Known[Speed]
	FP4         Known[Speed]
}

// Dot is matrix products as Triton's dot: which operands, and the smallest tile.
type Dot struct {
	FP32   Known[Support] // in full precision
	TF32   Known[Support]
	FP16   Known[Support]
	BF16   Known[Support]
	INT8   Known[Support] // into int32
	FP8    Known[Support] // e4m3
	FP4    Known[Support] // e2m1
	Scaled Known[Support] // with scales per block of K as operands
	MinM   Known[int]     // smallest tile
	MinN   Known[int]
	MinK   Known[int] // for operands of 16 bits and more
	MinK8  Known[int] // for operands of 8 bits

	// FP8Exact is sums of FP8 products that are as wide as float32: slow where the unit of that format has narrower ones, so
	// that another takes its place. Products of codes that were widened to FP16 are exact as well.
	FP8Exact Known[Use]
}

// The smallest tile that every target's compiler takes, for targets whose own minimum is unknown.
const (
	portableMN = 16
	portableK  = 16
	portableK8 = 32 // upstream Triton's minimum for 8-bit operands
)

// Tile returns the smallest M, N and K of a dot whose operands have that many bits. Where the target's
// minimum is unknown it is the one that every target takes.
func (d Dot) Tile(bits int) (m, n, k int) {
	k = d.MinK.Or(portableK)
	if bits <= 8 {
		k = d.MinK8.Or(portableK8)
	}
	return d.MinM.Or(portableMN), d.MinN.Or(portableMN), k
}

// Scratch is a kind of on-chip memory that the tiles of a program live in.
type Scratch string

// The kinds of scratch memory.
const (
	Shared        Scratch = "shared memory"  // of operands and staged loads; other tiles are in registers
	UnifiedBuffer Scratch = "unified buffer" // every tile of a vector program
	CoreBuffers   Scratch = "core buffers"   // small memories of many cores
)

// OnChip is the memory that bounds the tiles of one program.
type OnChip struct {
	Kind           Known[Scratch]
	Bytes          Known[Bytes] // the limit of one program
	Usable         Known[Bytes] // where less than that can be used
	OptInAbove     Known[Bytes] // above this a launch must raise the limit first
	DoubleBuffered Known[bool]  // the compiler doubles what a program's loop loads
	Unchecked      Known[bool]  // the compiler does not refuse a program that needs more
}

// Limit returns the bytes that a program may use and whether they are known.
func (o OnChip) Limit() (Bytes, bool) {
	if b, ok := o.Usable.Get(); ok {
		return b, true
	}
	return o.Bytes.Get()
}

// Cube is the buffers of a matrix unit that has its own. It exchanges data with vector units through device
// memory.
type Cube struct {
	L1        Known[Bytes] // both operands' panels
	L0A       Known[Bytes] // the left tile
	L0B       Known[Bytes] // the right tile
	L0C       Known[Bytes] // the accumulator
	Alignment Known[Bytes] // of data handed between cube and vector units
}

// Warps is the threads of one program.
type Warps struct {
	Width   Known[int]  // threads of a warp: the factor between num_warps and the block's threads
	Max     Known[int]  // largest num_warps
	Ignored Known[bool] // num_warps changes nothing
}

// Stages is the depth of software pipelining of loads.
type Stages struct {
	Safe    Known[int]  // the largest num_stages trusted to give right results at any number of warps
	Ignored Known[bool] // num_stages changes nothing
}

// Grid is how many programs a launch has.
type Grid struct {
	Max        Known[int]          // programs of one launch
	Persistent Known[bool]         // few long programs with a loop inside are the normal form
	PerProgram Known[Microseconds] // cost of starting one program
}

// Index is integer arithmetic on positions.
type Index struct {
	Bits Known[int] // width that indices should have; addresses of large tensors widen at the end
}

// Loads is reading from device memory under masks.
type Loads struct {
	OtherIgnored Known[bool]  // masked lanes hold garbage instead of `other`
	LiveMasked   Known[bool]  // the addresses of masked lanes must be valid too
	Repeats      Known[bool]  // lanes of one load may share addresses along an axis
	MasksCostly  Known[bool]  // a masked load in the inner loop costs like another dot: pad instead
	FP8          Known[bool]  // pointers to fp8 are accepted; otherwise bytes
	Unsigned     Known[bool]  // unsigned integers can be loaded and stored
	MinLanes     Known[int]   // vectors with fewer lanes give wrong results
	MinGather    Known[int]   // gathers with fewer lanes do not compile
	MaxMasked    Known[int]   // rows of a tile above which a masked tail corrupts
	Alignment    Known[Bytes] // of addresses and row lengths
	MaxTensor    Known[Bytes] // above this, loads take a slow path
}

// Stores is writing to device memory under masks.
type Stores struct {
	EmptyDropsAll Known[bool] // a store with no lane left drops the program's other stores too
}

// Reductions is sums and maxima over the lanes of a tile.
type Reductions struct {
	MaxLanes Known[int]  // above this sums are wrong
	LastAxis Known[bool] // only the last axis of a 2-D tile reduces
}

// Use says whether generated kernels may use an operation.
type Use string

// The answers.
const (
	Works     Use = "works"
	Slow      Use = "slow"      // right, but to be avoided in loops
	Forbidden Use = "forbidden" // does not compile, crashes or gives wrong results
)

// Ops is operations that not every machine has.
type Ops struct {
	FP64         Known[Use]
	Int64        Known[Use] // arithmetic and comparisons on vectors of int64
	Divide       Known[Use] // integer division and remainder
	Multiply     Known[Use] // integers of 32 bits as fast as shifts
	Subnormals   Known[Use] // float32 below 2^-126 as operands; flushed to zero where they do not work
	Sort         Known[Use]
	Cumsum       Known[Use]
	Gather       Known[Use] // loads from scattered addresses
	Transpose    Known[Use] // of a tile in the program
	BroadcastExp Known[Use] // a vector of exponentials broadcast into a tile by the program that computes it
	Atomics      Known[Use] // vector atomic_add whose lanes may hit one address
	HalfAtomics  Known[Use] // atomic_add on 16-bit floats
	EarlyReturn  Known[Use]
	Clusters     Known[Use] // num_ctas above 1
	Descriptors  Known[Use] // tensor descriptors that a copy engine serves
}

// Toolchain is what compiles kernels for the machine.
type Toolchain struct {
	Triton      Known[string] // release that kernels must be valid for
	Backend     Known[string] // first argument of GPUTarget
	Arch        Known[string] // second argument of GPUTarget
	Artifact    Known[string] // what the compiler leaves
	AheadOfTime Known[bool]   // kernels compile with public packages, without the device
	FrontEnd    Known[string] // the public part of a toolchain whose last stage is closed
	StandIn     Known[string] // another machine whose compiler checks what the two have in common
}

// Launch is starting kernels from a program.
type Launch struct {
	Call         Known[string]       // of the driver's C interface
	Queued       Known[Microseconds] // cost of one launch of many in a queue
	InGraph      Known[Microseconds] // cost of one launch in a captured graph
	FloatScalars Known[bool]         // fp32 scalars arrive; otherwise they go through memory
	BytePointers Known[bool]         // pointers to 8-bit types arrive; otherwise they pass as wider integers
	Registers    Known[int]          // of 32 bits, of a multiprocessor, of which a launch can be told how many a thread may have (maxnreg)
	Dependent    Known[bool]         // a kernel may begin while the one before runs, and wait for it (griddepcontrol)
}
