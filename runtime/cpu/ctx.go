package cpu

// Ctx owns the workers and the scratch memory of one running model. Kernels are its methods, destination
// first. It serves one goroutine at a time.
type Ctx struct {
	Pool *Pool

	mul   multiplication
	loops loops
	buf   struct {
		x    []float32
		wide []float64
		keys []uint64
	}
}

// loops holds the work of each kernel that workers share, operands included. A call fills in its kernel's and hands
// it to the pool: a closure for each call would be on the heap, for some of the time that a kernel takes.
type loops struct {
	act        actQuant
	actSim     actQuantSim
	fp4Sim     fp4QuantSim
	norm       rmsNorm
	headNorm   headNorm
	hadamard   hadamard
	rope       ropeRows
	zip        zip
	mulRows    mulRows
	addRows    addRows
	hcPre      hcPre[float32]
	hcPre64    hcPre[float64]
	hcHead     hcHead
	hcPost     hcPost[float32]
	hcPost64   hcPost[float64]
	slots      sumSlots[float32]
	slots64    sumSlots[float64]
	attention  sparseAttention
	compress   compression
	topEntries topEntries
	rate       rateKeys
}

// scratch is memory of one worker. Contents do not outlive a call.
type scratch struct {
	a, b, c []float32
	f, g, h []float64
	keys    []uint64
	scales  scaleCache

	// Operands of one call of a kernel, here so that they need no allocation.
	sums            [16]float32
	dsums           [16]float64
	places, columns [4]int
	vectors         [4]*float32
	shared          [8]float32
}

// NewCtx returns a context with its own pool; threads below 1 means all processors.
func NewCtx(threads int) *Ctx {
	return &Ctx{Pool: NewPool(threads)}
}

// Close ends the workers.
func (c *Ctx) Close() { c.Pool.Close() }

// leastScratch is how many elements scratch memory has from its first use on: enough for everything that grows with
// the first tokens of a sequence, such as the ranking of the entries that there are.
const leastScratch = 1024

// grow returns a slice of n elements, of *s's memory where that is long enough. Contents are arbitrary.
func grow[T any](s *[]T, n int) []T {
	if cap(*s) < n {
		*s = make([]T, max(leastScratch, n+n/4))
	}
	*s = (*s)[:n]
	return *s
}

// rowsOf is the number of rows of the given width in x; it panics unless they fill x.
func rowsOf(kernel string, x []float32, width int) int {
	if width < 1 || len(x)%width != 0 {
		need(kernel, "x", len(x), max(width, 1))
	}
	return len(x) / width
}

// elementGrain is how many elements of cheap work make a share worth handing to another worker.
const elementGrain = 16384

// eachRow runs a loop over rows, with enough rows in each range to be worth it.
func (c *Ctx) eachRow(rows, width int, l loop) {
	c.Pool.each(rows, max(1, elementGrain/max(width, 1)), l)
}
