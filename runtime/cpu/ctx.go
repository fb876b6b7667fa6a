package cpu

// Ctx owns the workers and the scratch memory of one running model. Kernels are its methods, destination
// first. It serves one goroutine at a time.
type Ctx struct {
	Pool *Pool

	workers []scratch // one for each worker
	mul     multiplication
	buf     struct {
		x    []float32
		wide []float64
		keys []uint64
	}
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
	c := &Ctx{Pool: NewPool(threads)}
	c.workers = make([]scratch, c.Pool.Threads())
	c.mul.body = c.multiplyBlocks
	return c
}

// Close ends the workers.
func (c *Ctx) Close() { c.Pool.Close() }

// grow returns a slice of n elements, of *s's memory where that is long enough. Contents are arbitrary.
func grow[T any](s *[]T, n int) []T {
	if cap(*s) < n {
		*s = make([]T, n+n/4)
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

// eachRow calls body for ranges of rows, with enough rows in each range to be worth it.
func (c *Ctx) eachRow(rows, width int, body func(worker, lo, hi int)) {
	c.Pool.For(rows, max(1, elementGrain/max(width, 1)), body)
}
