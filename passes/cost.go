package passes

import (
	"fmt"
	"math"

	"flagc/ir"
	"flagc/targets"
)

// Cost is what one decoded token of every sequence in the batch asks of one rank: bytes to read, arithmetic, meetings
// of ranks, and the time that these allow. Launches, synchronisation and activations, which stay in caches, are not in
// it: it is a bound and no prediction.
type Cost struct {
	Batch    int    `json:"batch"`
	Context  int    `json:"context"`  // the token is the last of that many
	Weights  []Part `json:"weights"`  // bytes read, by class in the order of Classes; experts as many as are expected
	States   int    `json:"states"`   // bytes of caches and running states read
	Flops    []Work `json:"flops"`    // by the number format of the product, in a fixed order
	Meetings int    `json:"meetings"` // collectives; adjacent ones that do not wait for each other count once
	Moved    int    `json:"moved"`    // bytes that a rank sends in them

	ReadSeconds float64  `json:"read_seconds"`
	MeetSeconds float64  `json:"meet_seconds"`
	ReadRate    float64  `json:"read_rate"` // bytes per second that ReadSeconds divides by
	RateBasis   string   `json:"read_rate_basis"`
	Assumed     []string `json:"assumed"` // what stands in for facts that the target does not know
}

// Work is arithmetic in one number format.
type Work struct {
	DType string  `json:"dtype"`
	Flops float64 `json:"flops"`
}

// Seconds is the time that reading and meeting take one after the other.
func (c Cost) Seconds() float64 { return c.ReadSeconds + c.MeetSeconds }

// Read is all bytes to read.
func (c Cost) Read() int { return sumParts(c.Weights) + c.States }

// What stands in for facts that a target does not know, so that two layouts can be compared on every target. Both
// sides of a comparison use the same, and reports name them.
const (
	// assumedRate is the reading rate of a device: the known ones are 0.8 TB/s and above.
	assumedRate = 1e12
	// assumedHostRate is that of a host that computes itself: what two cores of a server read (README).
	assumedHostRate = 35e9
	// assumedLink is both directions of a card without links of its own: 16 lanes of PCIe 4.0, 32 GB/s each way.
	assumedLink = 64e9
	// meetingSeconds is the least that ranks take to meet: a round figure between the 4 and 25 µs that are reported
	// for a few kilobytes within one host, by library and by whether a graph launches it.
	meetingSeconds = 10e-6
)

// DecodeTime bounds the time of one decoded token at the end of a context, per sequence of the batch, and says what
// it is made of. The module is that of one rank; it is read and not changed, whether its memory is planned or not.
// The choice between two modules is always defined: unknown facts of the target have stand-ins, named in the parts.
func DecodeTime(m *ir.Module, target targets.Target, batch, context int) (seconds float64, parts Cost, err error) {
	if batch < 1 || context < 2 {
		return 0, Cost{}, fmt.Errorf("batch %d, context %d: a decoded token needs a sequence and a token before it", batch, context)
	}
	m = m.Inline() // what is launched is made of ops
	parts = Cost{Batch: batch, Context: context, Assumed: []string{}}
	entry := decodeEntry(m)
	if entry == nil {
		return 0, Cost{}, fmt.Errorf("module %s has no decode function", m.Name)
	}
	n, err := newCounter(m, batch, context).function(entry)
	if err != nil {
		return 0, Cost{}, fmt.Errorf("%s: %w", entry.FullName(), err)
	}
	for _, class := range Classes {
		parts.Weights = append(parts.Weights, Part{string(class), int(math.Round(n.weights[class]))})
	}
	parts.States, parts.Meetings = int(math.Round(n.states)), n.meetings
	for _, d := range flopTypes {
		if n.flops[d] > 0 {
			parts.Flops = append(parts.Flops, Work{d.String(), n.flops[d]})
		}
	}
	parts.time(target, n.moved)
	return parts.Seconds(), parts, nil
}

// decodeEntry is the model's first entry for a decoded token; drafts come after it.
func decodeEntry(m *ir.Module) *ir.Func {
	called := m.Called()
	for _, f := range m.Funcs {
		if f.Mode == ir.Decode && !called[f] {
			return f
		}
	}
	return nil
}

// time turns bytes and meetings into seconds.
func (c *Cost) time(t targets.Target, moved float64) {
	c.Moved = int(math.Round(moved))
	c.ReadRate, c.RateBasis = c.readRate(t)
	c.ReadSeconds = float64(c.Read()) / c.ReadRate
	if c.Meetings == 0 {
		return
	}
	link := float64(t.Link.Bandwidth.Or(assumedLink))
	if _, ok := t.Link.Bandwidth.Get(); !ok {
		c.Assumed = append(c.Assumed, fmt.Sprintf("link of %.0f GB/s", assumedLink/1e9))
	}
	c.Assumed = append(c.Assumed, fmt.Sprintf("%.0f µs for ranks to meet", meetingSeconds*1e6), "all ranks linked alike")
	c.MeetSeconds = float64(c.Meetings)*meetingSeconds + moved/(link/2) // a rank sends and receives at once
}

func (c *Cost) readRate(t targets.Target) (rate float64, basis string) {
	if r, ok := t.Memory.ReadRate.Get(); ok {
		return float64(r), "reading rate, " + string(t.Memory.ReadRate.Evidence())
	}
	if r, ok := t.Memory.Bandwidth.Get(); ok {
		return float64(r), "peak bandwidth, " + string(t.Memory.Bandwidth.Evidence())
	}
	rate = assumedRate
	if t.Host.Executes {
		rate = assumedHostRate
	}
	c.Assumed = append(c.Assumed, fmt.Sprintf("reading rate of %.0f GB/s", rate/1e9))
	return rate, "assumed"
}
