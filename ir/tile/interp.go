package tile

import (
	"fmt"
	"math"
	"math/rand"
	"runtime"
	"sort"
	"sync"
	"sync/atomic"
)

// Arg is what a parameter is given.
type Arg struct {
	Data   []byte // of a pointer: the elements in the parameter's format, little-endian; stores change it
	Scalar int
}

// Options say what else Interpret does than run the instances in ascending order.
type Options struct {
	// Seed orders the instances at random, the same for the same seed; 0 leaves them ascending.
	Seed int64
	// PoisonMasked puts NaN, or a large number, into masked lanes instead of what the load says, as machines do
	// whose loads ignore it.
	PoisonMasked bool
	// LiveMasked demands that addresses of masked lanes are in range too, for machines that form them.
	LiveMasked bool
	// LiveGathers demands the same of Gathers alone.
	LiveGathers bool
	// Races reports what depends on the order of instances or threads: elements that two instances store
	// differently; elements that one instance stores and another loads, unless an atomic_add orders them;
	// loads of what the same instance has stored since its last barrier; and stores to what it has loaded since then
	// through other offsets, for another thread may be late with that.
	Races bool

	separate bool // no two values share a tile: for tests of the sharing
}

// Fault is an error of a running program.
type Fault struct {
	Kernel   string
	Instance int
	Op       string // its text
	Message  string
}

// Error names kernel, instance and op.
func (f *Fault) Error() string {
	return fmt.Sprintf("kernel %s, instance %d, %q: %s", f.Kernel, f.Instance, f.Op, f.Message)
}

// Interpret runs all instances of a program on its arguments, with the arithmetic of a device: every operation on
// f32 is rounded to float32, casts round to nearest even, integers wrap. Sum adds halves to each other until one
// element is left; Dot adds exact products to the accumulator in order of k; Exp, Log, Sqrt and Rsqrt are rounded
// once. Minimum, Maximum, Max and Min prefer a number to a NaN. An i8 is signed when it is cast.
//
// An access outside of a parameter, a division of or by a negative number or by zero and a shift by more bits than
// there are are faults.
func Interpret(p *Program, args map[string]Arg, opts Options) error {
	if err := Verify(p); err != nil {
		return err
	}
	if err := bind(p, args); err != nil {
		return fmt.Errorf("kernel %s: %w", p.Name, err)
	}
	n, err := p.Instances(args)
	if err != nil {
		return err
	}
	workers := 1
	if opts.Seed == 0 && !opts.Races && !p.uses(AtomicAdd) {
		workers = min(n, runtime.GOMAXPROCS(0))
	}
	return runAll(p, args, opts, n, workers)
}

// Instances is how many instances a launch with these arguments has. One of none is not started.
func (p *Program) Instances(args map[string]Arg) (int, error) {
	n, err := EvalExpr(p.Grid, p.env(args))
	if err != nil {
		return 0, fmt.Errorf("kernel %s: grid: %w", p.Name, err)
	}
	if n < 0 || n > math.MaxInt32 {
		return 0, fmt.Errorf("kernel %s: grid: %d instances are out of range", p.Name, n)
	}
	return n, nil
}

func (p *Program) uses(c Code) bool {
	found := false
	p.Body.Walk(func(op *Op) { found = found || op.Code == c })
	return found
}

// env is what expressions know: the constants and the scalars.
func (p *Program) env(args map[string]Arg) map[string]int {
	env := map[string]int{}
	for _, c := range p.Consts {
		env[c.Name] = c.Value
	}
	for _, q := range p.Params {
		if !q.Pointer {
			env[q.Name] = args[q.Name].Scalar
		}
	}
	return env
}

// bind holds the arguments against the parameters.
func bind(p *Program, args map[string]Arg) error {
	for _, name := range sortedNames(args) {
		if p.Param(name) == nil {
			return fmt.Errorf("there is no parameter %s", name)
		}
	}
	env := p.env(args)
	for _, q := range p.Params {
		a, ok := args[q.Name]
		if !ok {
			return fmt.Errorf("parameter %s has no argument", q.Name)
		}
		if !q.Pointer {
			if a.Scalar != int(int32(a.Scalar)) {
				return fmt.Errorf("parameter %s: %d does not fit i32", q.Name, a.Scalar)
			}
			continue
		}
		if err := q.holdsLength(len(a.Data), env); err != nil {
			return fmt.Errorf("parameter %s: %w", q.Name, err)
		}
	}
	return nil
}

// holdsLength checks the size of a buffer against the parameter's shape.
func (q *Param) holdsLength(bytes int, env map[string]int) error {
	n := int64(1)
	for _, text := range q.Shape {
		d, err := EvalExpr(text, env)
		if err != nil {
			return err
		}
		if d < 0 {
			return fmt.Errorf("extent %s is %d", text, d)
		}
		if n, err = checkedMul(n, int64(d)); err != nil {
			return err
		}
	}
	width := int64(q.DType.Bytes())
	if len(q.Shape) == 0 {
		n = int64(bytes) / width
	}
	if want, err := checkedMul(n, width); err != nil || want != int64(bytes) {
		return fmt.Errorf("the argument has %d bytes, %d elements of %s take %d", bytes, n, q.DType, want)
	}
	return nil
}

func sortedNames(args map[string]Arg) []string {
	names := make([]string, 0, len(args))
	for n := range args {
		names = append(names, n)
	}
	sort.Strings(names)
	return names
}

// runAll gives the instances to workers in order. All below a faulty one have been started by then, so the fault
// of the lowest number is the same in every run.
func runAll(p *Program, args map[string]Arg, opts Options, n, workers int) error {
	var order []int
	if opts.Seed != 0 {
		order = rand.New(rand.NewSource(opts.Seed)).Perm(n)
	}
	var next atomic.Int64
	var failed atomic.Bool
	faults := make([]*Fault, workers)
	var wg sync.WaitGroup
	for w := range workers {
		wg.Add(1)
		go func() {
			defer wg.Done()
			m := newMachine(p, args, opts)
			for !failed.Load() {
				i := int(next.Add(1)) - 1
				if i >= n {
					return
				}
				if order != nil {
					i = order[i]
				}
				if faults[w] = m.runInstance(i); faults[w] != nil {
					failed.Store(true)
				}
			}
		}()
	}
	wg.Wait()
	var first *Fault
	for _, f := range faults {
		if f != nil && (first == nil || f.Instance < first.Instance) {
			first = f
		}
	}
	if first != nil {
		return first
	}
	return nil
}
