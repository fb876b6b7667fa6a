package collective

import (
	"fmt"
	"time"

	"flagc/runtime/formats"
)

// DefaultTimeout is how long a rank waits for another if nothing else is said. Ranks do equal work, so they part
// by how long they take to read their weights.
const DefaultTimeout = 10 * time.Minute

// Rank is one rank's way to the others. Its communicators serve one goroutine at a time.
type Rank struct {
	mesh Mesh
	rank int
	link link
}

// link is how a rank reaches the hub.
type link interface {
	// meet brings in and waits for out, whose slice has the length of the result.
	meet(c call, in, out *values) error
	// leave ends the rank's part of the run, with a reason if it failed, and returns the failure of the run.
	leave(reason error) error
	fail(reason error) error
	failure() error
	failed() <-chan struct{}
}

// Local returns the ranks of a mesh that live in this process, each for a goroutine of its own.
func Local(m Mesh, timeout time.Duration) []*Rank {
	h := newHub(m, timeout)
	ranks := make([]*Rank, m.Ranks())
	for i := range ranks {
		ranks[i] = &Rank{m, i, local{h, i}}
	}
	return ranks
}

// local is the link of a rank that lives with the hub.
type local struct {
	*hub
	rank int
}

func (l local) meet(c call, in, out *values) error { return l.hub.meet(l.rank, c, in, out) }
func (l local) failed() <-chan struct{}            { return l.hub.failed }

func (l local) leave(reason error) error {
	l.hub.leave(l.rank, reason)
	return l.failure()
}

// Number is the rank's number, from 0.
func (r *Rank) Number() int { return r.rank }

// Part says which part the rank has of what is split over a communicator, see Mesh.Part.
func (r *Rank) Part(over string) (part, parts int) { return r.mesh.Part(r.rank, over) }

// Err is what ended the run before its end; nil while all is well.
func (r *Rank) Err() error { return r.link.failure() }

// Failed is closed when Err has something to say.
func (r *Rank) Failed() <-chan struct{} { return r.link.failed() }

// Fail ends the run for a reason that is not this rank's own; the first failure counts.
func (r *Rank) Fail(reason error) { r.link.fail(reason) }

// Meet returns when all ranks have called it, or the run has failed.
func (r *Rank) Meet() error {
	r.Comm("").AllReduceOne(nil, nil)
	return r.Err()
}

// Leave ends the rank's part of the run: it has made all its calls, or failed for a reason, which then ends the
// other ranks too. It returns what has ended the run, nil if nothing did. The rank that holds the hub waits until
// the others have left.
func (r *Rank) Leave(reason error) error { return r.link.leave(reason) }

// Comm returns the rank's communicator over an axis of the mesh; "" is all ranks.
func (r *Rank) Comm(over string) *Comm {
	part, parts := r.Part(over)
	return &Comm{rank: r, over: r.mesh.index(over), part: part, parts: parts}
}

// Comm is a rank among the ranks of a communicator. Its methods return when all of them have called it. Slices must
// be as long as the method says; it panics where they are not, since the caller is generated. After a failure
// results are zeros.
type Comm struct {
	rank        *Rank
	over        int
	part, parts int
	sum         []float64
	in, out     values // of the call being made
}

// AllReduce adds the parts of a sum of all ranks, in their order, and rounds once: to bf16 if round is set, else to
// float32. dst is as long as x.
func (c *Comm) AllReduce(dst []float32, x []float64, round bool) {
	c.sum = grow(c.sum, len(x))
	c.do(call{op: allReduce, kind: float64s, inner: 1}, values{f64: x}, values{f64: c.sum})
	narrow(dst, c.sum, round)
}

// AllReduceOne adds values of which each is zero on all ranks but one, so that nothing is rounded. dst is as long
// as x and may be x.
func (c *Comm) AllReduceOne(dst, x []float32) {
	c.do(call{op: allReduce, kind: float32s, inner: 1}, values{f32: x}, values{f32: dst})
}

// ReduceScatter is AllReduce of which each rank gets its own part along an axis: x has rows of one run of inner
// numbers for each rank, dst the rank's own run of each row.
func (c *Comm) ReduceScatter(dst []float32, x []float64, inner int, round bool) {
	c.sum = grow(c.sum, len(x)/c.parts)
	c.do(call{op: reduceScatter, kind: float64s, inner: inner}, values{f64: x}, values{f64: c.sum})
	narrow(dst, c.sum, round)
}

// ReduceScatterOne is ReduceScatter of values of which each is zero on all ranks but one.
func (c *Comm) ReduceScatterOne(dst, x []float32, inner int) {
	c.do(call{op: reduceScatter, kind: float32s, inner: inner}, values{f32: x}, values{f32: dst})
}

// AllGather puts the parts of a split axis together: x has runs of inner numbers, dst rows of such runs of all
// ranks, one behind the other.
func (c *Comm) AllGather(dst, x []float32, inner int) {
	c.do(call{op: allGather, kind: float32s, inner: inner}, values{f32: x}, values{f32: dst})
}

// AllGatherInts is AllGather of indices.
func (c *Comm) AllGatherInts(dst, x []int32, inner int) {
	c.do(call{op: allGather, kind: int32s, inner: inner}, values{i32: x}, values{i32: dst})
}

// do makes a call. Results are zeros where it fails.
func (c *Comm) do(k call, in, out values) {
	c.in, c.out = in, out
	k.over = c.over
	k.count = in.len()
	if got := out.len(); !k.fits(c.parts) || got != k.yields(c.parts) {
		panic(fmt.Sprintf("collective: %s into %d", k.describe(c.rank.mesh), got))
	}
	if c.rank.link.meet(k, &c.in, &c.out) != nil {
		clear(out.f32)
		clear(out.f64)
		clear(out.i32)
	}
}

// narrow rounds sums once.
func narrow(dst []float32, sums []float64, round bool) {
	if len(dst) != len(sums) {
		panic(fmt.Sprintf("collective: %d results into %d", len(sums), len(dst)))
	}
	for i, v := range sums {
		if round {
			v = formats.RoundBF16(v)
		}
		dst[i] = float32(v)
	}
}
