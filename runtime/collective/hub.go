package collective

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"
)

// hub holds the meetings of all ranks.
type hub struct {
	mesh    Mesh
	timeout time.Duration
	failed  chan struct{} // closed at the first failure

	mu       sync.Mutex
	err      error              // the first failure
	meetings map[place]*meeting // one for each communicator
	next     []uint64           // number of each rank's next call
	left     []bool             // ranks that have ended
	agreed   []agreement        // of the calls that some ranks have made and others not, in their order
	first    uint64             // number of the first of them
}

// place names a communicator: ranks that differ along one axis, or all, and the first of them.
type place struct{ over, first int }

// agreement is what the first rank that came asked for in a call, until all ranks have asked the same.
type agreement struct {
	call
	by, seen int
}

// meeting is where the ranks of a communicator wait for each other, call by call. A rank comes again only after it
// has its result, so the hub's memory of a result can be used anew when all have come to the next call.
type meeting struct {
	in      []values // by part
	here    []bool
	arrived int // 0 once all have come
	whole   values
	wake    []chan struct{}
	timers  []*time.Timer // by part, so that waiting takes no memory
}

func newHub(m Mesh, timeout time.Duration) *hub {
	n := m.Ranks()
	return &hub{mesh: m, timeout: timeout, failed: make(chan struct{}), meetings: map[place]*meeting{},
		next: make([]uint64, n), left: make([]bool, n)}
}

// meeting returns the one of a communicator; the hub is locked.
func (h *hub) meeting(at place, parts int) *meeting {
	m := h.meetings[at]
	if m == nil {
		m = &meeting{in: make([]values, parts), here: make([]bool, parts)}
		for range parts {
			m.wake = append(m.wake, make(chan struct{}, 1))
			m.timers = append(m.timers, stoppedTimer())
		}
		h.meetings[at] = m
	}
	return m
}

// meet brings a rank's numbers and waits for its result, which goes to out.
func (h *hub) meet(rank int, c call, in, out *values) error {
	part, parts, stride := h.mesh.place(rank, c.over)
	m, last, err := h.enter(rank, c, in, place{c.over, rank - part*stride}, part, parts)
	if err != nil {
		return err
	}
	if last {
		c.combine(&m.whole, m.in)
		for i, w := range m.wake {
			if i != part {
				w <- struct{}{}
			}
		}
	} else if err := h.wait(m, rank, part, c, stride); err != nil {
		return err
	}
	c.take(out, &m.whole, part, parts)
	return nil
}

// enter notes a rank's call; last says that all ranks of the communicator are there.
func (h *hub) enter(rank int, c call, in *values, at place, part, parts int) (m *meeting, last bool, err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.err == nil {
		h.agree(rank, c)
	}
	if h.err != nil {
		return nil, false, h.err
	}
	m = h.meeting(at, parts)
	m.in[part], m.here[part] = *in, true
	m.arrived++
	if m.arrived == parts {
		m.arrived = 0
		clear(m.here)
		return m, true, nil
	}
	return m, false, nil
}

// agree compares a rank's call with what others asked for at the same point; the hub is locked.
func (h *hub) agree(rank int, c call) {
	n := h.next[rank]
	h.next[rank]++
	for other, gone := range h.left {
		if gone && h.next[other] <= n {
			h.failLocked(fmt.Errorf("rank %d has ended, but rank %d calls %s (call %d)", other, rank, c.describe(h.mesh), n))
			return
		}
	}
	if n == h.first+uint64(len(h.agreed)) { // the rank is ahead of all others
		h.agreed = append(h.agreed, agreement{call: c, by: rank})
	}
	a := &h.agreed[n-h.first]
	if a.call != c {
		h.failLocked(fmt.Errorf("the ranks do not run the same program: call %d is %s on rank %d and %s on rank %d",
			n, a.describe(h.mesh), a.by, c.describe(h.mesh), rank))
		return
	}
	if a.seen++; a.seen == len(h.next) { // which no later call is before this one
		h.agreed = slices.Delete(h.agreed, 0, 1)
		h.first++
	}
}

// stoppedTimer is a timer to be Reset.
func stoppedTimer() *time.Timer {
	t := time.NewTimer(time.Hour)
	t.Stop()
	return t
}

// wait returns when the meeting has its result, or the failure that keeps it from one.
func (h *hub) wait(m *meeting, rank, part int, c call, stride int) error {
	timer := m.timers[part]
	timer.Reset(h.timeout)
	defer timer.Stop()
	select {
	case <-m.wake[part]:
		return nil
	case <-h.failed:
	case <-timer.C:
		h.late(m, rank, part, c, stride)
	}
	h.mu.Lock()
	if m.arrived > 0 { // not complete: nobody reads what this rank brought
		m.arrived--
		m.in[part], m.here[part] = values{}, false
		defer h.mu.Unlock()
		return h.err
	}
	h.mu.Unlock()
	<-m.wake[part]
	return nil
}

// late fails the run because ranks did not come in time.
func (h *hub) late(m *meeting, rank, part int, c call, stride int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if m.arrived == 0 {
		return // they came just now
	}
	var missing []string
	for i, here := range m.here {
		if !here {
			missing = append(missing, fmt.Sprint(rank+(i-part)*stride))
		}
	}
	h.failLocked(fmt.Errorf("rank %d waited %v in %s for rank %s", rank, h.timeout, c.describe(h.mesh),
		strings.Join(missing, ", ")))
}

// leave notes that a rank has ended: after all its calls, or for a reason that ends the others.
func (h *hub) leave(rank int, reason error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.left[rank] {
		return
	}
	h.left[rank] = true
	if reason != nil {
		h.failLocked(fmt.Errorf("rank %d: %w", rank, reason))
		return
	}
	for i, a := range h.agreed {
		if n := h.first + uint64(i); n >= h.next[rank] {
			h.failLocked(fmt.Errorf("rank %d has ended, but rank %d calls %s (call %d)", rank, a.by, a.describe(h.mesh), n))
			return
		}
	}
}

// fail ends the run; the first failure counts, and is returned.
func (h *hub) fail(err error) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.failLocked(err)
	return h.err
}

func (h *hub) failLocked(err error) {
	if h.err == nil {
		h.err = err
		close(h.failed)
	}
}

// failure is the first failure, nil if there is none.
func (h *hub) failure() error {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.err
}
