package tile

import "fmt"

// machine runs instances of a program one by one. Compiling turns each op into a closure over the tiles that it
// reads and writes, so that at run time nothing is looked up. Each worker has a machine of its own.
type machine struct {
	prog *Program
	opts Options
	mem  map[*Param]*memory
	vals map[*Value]*tile
	free map[tileKey][]*tile
	code []func()
	// gathers are the loads that opts.LiveGathers is about; nil without it.
	gathers map[*Op]bool

	inst    int
	program *tile // the number of the instance
	now     *Op   // for faults: the op that can fail and runs
	scratch [3]tile
	at      []int
}

// tile holds the elements of a value: exactly one of the slices, by format. Floats of every format are kept as
// float32, i8 as int32.
type tile struct {
	f []float32
	i []int32
	l []int64
	b []bool

	key  tileKey
	refs int // values that live in it
}

type tileKey struct {
	kind kind
	n    int
}

type kind uint8

const (
	kindF kind = iota
	kindI
	kindL
	kindB
)

func kindOf(d DType) kind {
	switch {
	case d.IsFloat():
		return kindF
	case d == I64:
		return kindL
	case d == Bool:
		return kindB
	}
	return kindI
}

// forever is the count of tiles that hold constants.
const forever = 1 << 30

// chunk bounds the elements that one loop handles where an operand repeats: scratch tiles stay in the first cache.
const chunk = 1024

func newMachine(p *Program, args map[string]Arg, opts Options) *machine {
	m := &machine{prog: p, opts: opts, mem: map[*Param]*memory{}, vals: map[*Value]*tile{}, free: map[tileKey][]*tile{}}
	for i := range m.scratch {
		m.scratch[i] = tile{f: make([]float32, chunk), i: make([]int32, chunk), l: make([]int64, chunk), b: make([]bool, chunk)}
	}
	for _, q := range p.Params {
		m.mem[q] = newMemory(q, args[q.Name], opts, p.uses(AtomicAdd))
	}
	m.program = m.take(kindI, 1, forever)
	if opts.LiveGathers {
		m.gathers = Gathers(p)
	}
	m.code = m.block(p.Body, args)
	return m
}

func (m *machine) runInstance(i int) (fault *Fault) {
	defer func() {
		switch r := recover().(type) {
		case nil:
		case trap:
			fault = &Fault{m.prog.Name, i, m.prog.OpText(m.now), string(r)}
		default:
			panic(r)
		}
	}()
	m.inst = i
	m.program.i[0] = int32(i)
	for _, q := range m.prog.Params {
		m.mem[q].epoch = 1
	}
	run(m.code)
	return nil
}

// trap is a panic that becomes a fault.
type trap string

func trapf(format string, args ...any) { panic(trap(fmt.Sprintf(format, args...))) }

func run(code []func()) {
	for _, step := range code {
		step()
	}
}

// take finds or makes a tile.
func (m *machine) take(k kind, n, refs int) *tile {
	key := tileKey{k, n}
	if list := m.free[key]; len(list) > 0 && refs != forever {
		t := list[len(list)-1]
		m.free[key] = list[:len(list)-1]
		t.refs = refs
		return t
	}
	t := &tile{key: key, refs: refs}
	switch k {
	case kindF:
		t.f = make([]float32, n)
	case kindI:
		t.i = make([]int32, n)
	case kindL:
		t.l = make([]int64, n)
	case kindB:
		t.b = make([]bool, n)
	}
	return t
}

func (m *machine) drop(t *tile) {
	if t.refs--; t.refs == 0 && !m.opts.separate {
		m.free[t.key] = append(m.free[t.key], t)
	}
}

// place gives a value a tile of its own.
func (m *machine) place(v *Value) *tile {
	t := m.take(kindOf(v.DType), v.Len(), 1)
	m.vals[v] = t
	return t
}

// constant gives a value a tile that nothing else will write.
func (m *machine) constant(v *Value) *tile {
	t := m.take(kindOf(v.DType), v.Len(), forever)
	m.vals[v] = t
	return t
}

// alias lets a value live in the tile of another.
func (m *machine) alias(v, in *Value) {
	t := m.vals[in]
	t.refs++
	m.vals[v] = t
}

// block compiles the ops of a block and drops each value behind its last use.
func (m *machine) block(b *Block, args map[string]Arg) []func() {
	last := lastUses(b)
	dying := make([][]*Value, len(b.Ops)+1)
	for i, op := range b.Ops {
		for _, v := range op.Results {
			at := max(i, last[v])
			dying[at] = append(dying[at], v)
		}
	}
	var code []func()
	for i, op := range b.Ops {
		if step := m.op(op, args); step != nil {
			code = append(code, step)
		}
		for _, v := range dying[i] {
			m.drop(m.vals[v])
		}
	}
	if step := m.yield(b); step != nil {
		code = append(code, step)
	}
	for _, v := range dying[len(b.Ops)] {
		m.drop(m.vals[v])
	}
	return code
}

// lastUses tells for each value the last op of the block that uses it, itself or in a block that it holds.
func lastUses(b *Block) map[*Value]int {
	last := map[*Value]int{}
	var mark func(op *Op, i int)
	inner := func(b *Block, i int) {
		if b == nil {
			return
		}
		for _, op := range b.Ops {
			mark(op, i)
		}
		for _, v := range b.Yield {
			last[v] = i
		}
	}
	mark = func(op *Op, i int) {
		for _, v := range op.Args {
			if v != nil {
				last[v] = i
			}
		}
		inner(op.Body, i)
		inner(op.Else, i)
	}
	for i, op := range b.Ops {
		mark(op, i)
	}
	for _, v := range b.Yield {
		last[v] = len(b.Ops)
	}
	return last
}

// loop compiles a loop. The carried values, those of the body and the final ones, share their tiles.
func (m *machine) loop(op *Op, args map[string]Arg) func() {
	counter := m.place(op.Body.Args[0])
	var start []func()
	for k, r := range op.Results {
		t := m.place(r)
		m.vals[op.Body.Args[k+1]] = t
		start = append(start, copyTile(t, m.vals[op.Args[k+2]]))
	}
	goesOn := []bool{true}
	if op.While {
		goesOn = m.vals[op.Body.Args[1]].b
	}
	body := m.block(op.Body, args)
	from, to, step := m.vals[op.Args[0]], m.vals[op.Args[1]], int64(op.Step)
	m.drop(counter)
	return func() {
		run(start)
		end := int64(to.i[0])
		for i := int64(from.i[0]); i < end && goesOn[0]; i += step {
			counter.i[0] = int32(i)
			run(body)
		}
	}
}

// yield moves the values of the next round to where the body reads them, all at once: one may be another's old.
func (m *machine) yield(b *Block) func() {
	var moves, more []func()
	var temps []*tile
	target := map[*tile]int{}
	for k := range b.Yield {
		target[m.vals[b.Args[k+1]]] = k
	}
	for k, v := range b.Yield {
		from, to := m.vals[v], m.vals[b.Args[k+1]]
		if from == to {
			continue
		}
		if _, crossed := target[from]; crossed {
			temp := m.take(from.key.kind, from.key.n, 1)
			temps = append(temps, temp)
			moves = append(moves, copyTile(temp, from))
			more = append(more, copyTile(to, temp))
		} else {
			more = append(more, copyTile(to, from))
		}
	}
	for _, t := range temps {
		m.drop(t)
	}
	moves = append(moves, more...)
	if moves == nil {
		return nil
	}
	return func() { run(moves) }
}

func copyTile(to, from *tile) func() {
	switch to.key.kind {
	case kindF:
		return func() { copy(to.f, from.f) }
	case kindI:
		return func() { copy(to.i, from.i) }
	case kindL:
		return func() { copy(to.l, from.l) }
	}
	return func() { copy(to.b, from.b) }
}

// branch compiles a conditional.
func (m *machine) branch(op *Op, args map[string]Arg) func() {
	cond := m.vals[op.Args[0]]
	then := m.block(op.Body, args)
	var otherwise []func()
	if op.Else != nil {
		otherwise = m.block(op.Else, args)
	}
	return func() {
		if cond.b[0] {
			run(then)
		} else {
			run(otherwise)
		}
	}
}
