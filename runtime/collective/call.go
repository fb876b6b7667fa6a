package collective

import "fmt"

// op is what a call does.
type op uint8

// The operations, under the names that the graph has for them.
const (
	allReduce op = iota + 1
	allGather
	reduceScatter
)

var opNames = [...]string{allReduce: "all_reduce", allGather: "all_gather", reduceScatter: "reduce_scatter"}

// kind is the type of a call's numbers.
type kind uint8

// The kinds of numbers.
const (
	float32s kind = iota + 1
	float64s
	int32s
)

var (
	kindNames = [...]string{float32s: "float32", float64s: "float64", int32s: "int32"}
	kindSizes = [...]int{float32s: 4, float64s: 8, int32s: 4}
)

// call is what a rank asks for. Ranks that meet must ask for the same.
type call struct {
	op    op
	kind  kind
	over  int // number of the communicator in the mesh, see Mesh.index
	count int // numbers that the rank brings
	inner int // numbers of one part that lie together; what is gathered or scattered has rows of all parts
}

func (c call) describe(m Mesh) string {
	return fmt.Sprintf("%s of %d %s in runs of %d over %s", opNames[c.op], c.count, kindNames[c.kind], c.inner,
		m.overName(c.over))
}

// yields is how many numbers a rank gets.
func (c call) yields(parts int) int {
	switch c.op {
	case allGather:
		return c.count * parts
	case reduceScatter:
		return c.count / parts
	}
	return c.count
}

// fits reports whether what is brought falls into whole runs: of each rank, where it is scattered.
func (c call) fits(parts int) bool {
	run := c.inner
	if c.op == reduceScatter {
		run *= parts
	}
	return c.count == 0 || run > 0 && c.count%run == 0
}

// values are numbers of one kind; the other slices are empty.
type values struct {
	f32 []float32
	f64 []float64
	i32 []int32
}

func (v *values) len() int { return len(v.f32) + len(v.f64) + len(v.i32) }

// reuse gives v n numbers of a kind and none of the others.
func (v *values) reuse(k kind, n int) {
	v.f32, v.f64, v.i32 = v.f32[:0], v.f64[:0], v.i32[:0]
	v.room(k, n)
}

type number interface{ float32 | float64 | int32 }

// room gives v n numbers of a kind, of arbitrary content.
func (v *values) room(k kind, n int) {
	switch k {
	case float32s:
		v.f32 = grow(v.f32, n)
	case float64s:
		v.f64 = grow(v.f64, n)
	case int32s:
		v.i32 = grow(v.i32, n)
	}
}

func grow[T any](s []T, n int) []T {
	if cap(s) < n {
		return make([]T, n)
	}
	return s[:n]
}

// combine makes what all ranks of a communicator take their results from, of what they brought in their order.
func (c call) combine(whole *values, in []values) {
	n := c.count
	if c.op == allGather {
		n *= len(in)
	}
	whole.room(c.kind, n)
	switch c.kind {
	case float32s:
		join(c, whole.f32, in, func(v *values) []float32 { return v.f32 })
	case float64s:
		join(c, whole.f64, in, func(v *values) []float64 { return v.f64 })
	case int32s:
		join(c, whole.i32, in, func(v *values) []int32 { return v.i32 })
	}
}

// join adds the numbers of all parts, or lays them side by side.
func join[T number](c call, whole []T, in []values, of func(*values) []T) {
	if c.op != allGather {
		clear(whole)
	}
	for part := range in {
		x := of(&in[part])
		if c.op == allGather {
			for from, to := 0, part*c.inner; from < len(x); from, to = from+c.inner, to+len(in)*c.inner {
				copy(whole[to:], x[from:from+c.inner])
			}
			continue
		}
		for i, v := range x {
			whole[i] += v
		}
	}
}

// take writes the result of one part.
func (c call) take(out, whole *values, part, parts int) {
	switch c.kind {
	case float32s:
		pick(c, out.f32, whole.f32, part, parts)
	case float64s:
		pick(c, out.f64, whole.f64, part, parts)
	case int32s:
		pick(c, out.i32, whole.i32, part, parts)
	}
}

func pick[T number](c call, out, whole []T, part, parts int) {
	if c.op != reduceScatter {
		copy(out, whole)
		return
	}
	for to, from := 0, part*c.inner; to < len(out); to, from = to+c.inner, from+parts*c.inner {
		copy(out[to:to+c.inner], whole[from:])
	}
}
