package collective

import (
	"errors"
	"fmt"
	"net"
	"sync"
	"time"
)

// redial is how long a rank waits before it looks for the socket again.
const redial = 10 * time.Millisecond

// client is the link of a rank whose hub is in another process.
type client struct {
	mesh    Mesh
	rank    int
	conn    net.Conn
	timeout time.Duration
	answers chan answer
	ended   chan struct{}

	number uint64 // of the next call
	frame  []byte
	timer  *time.Timer // of waiting for an answer

	mu   sync.Mutex
	err  error
	left bool
}

// answer is a frame from rank 0.
type answer struct {
	header
	payload []byte
}

// Dial returns a rank above 0, connected to the socket on which rank 0 listens; it waits until that exists.
func Dial(path string, m Mesh, rank int, o Options) (*Rank, error) {
	conn, err := dial(path, o.Timeout)
	if err != nil {
		return nil, err
	}
	conn.SetWriteDeadline(time.Now().Add(o.Timeout))
	if _, err := conn.Write(hello(rank, m, o.Facts)); err != nil {
		conn.Close()
		return nil, fmt.Errorf("rank 0 does not listen: %w", err)
	}
	c := &client{mesh: m, rank: rank, conn: conn, timeout: o.Timeout, answers: make(chan answer, 1),
		ended: make(chan struct{}), timer: stoppedTimer()}
	go c.listen()
	return &Rank{m, rank, c}, nil
}

func dial(path string, timeout time.Duration) (net.Conn, error) {
	for start := time.Now(); ; time.Sleep(redial) {
		conn, err := net.Dial("unix", path)
		if err == nil {
			return conn, nil
		}
		if time.Since(start) > timeout {
			return nil, fmt.Errorf("rank 0 did not listen on %s within %v: %w", path, timeout, errors.Unwrap(err))
		}
	}
}

// listen reads what rank 0 sends. It reads all the time, so that the rank learns at once of a failure or of rank
// 0's end. Frames use two memories in turn: a failure may come while an answer is being read.
func (c *client) listen() {
	var memory [2][]byte
	for turn := 0; ; turn = 1 - turn {
		head, payload, err := readFrame(c.conn, memory[turn], len(c.mesh))
		switch {
		case err != nil:
			c.fail(&LostError{0, err})
			return
		case head.typ == failureFrame:
			c.fail(errors.New(string(payload)))
			return
		case head.typ != answerFrame:
			c.fail(fmt.Errorf("rank 0 sent frame type %d instead of an answer", head.typ))
			return
		}
		memory[turn] = payload
		select {
		case c.answers <- answer{head, payload}:
		case <-c.ended:
			return
		}
	}
}

// meet sends what the rank brings and waits for the answer. It waits longer than the hub does, which knows who is
// missing.
func (c *client) meet(k call, in, out *values) error {
	if err := c.failure(); err != nil {
		return err
	}
	c.frame = encodeValues(c.frame, header{typ: askFrame, call: k, number: c.number}, in)
	c.conn.SetWriteDeadline(time.Now().Add(c.timeout))
	if _, err := c.conn.Write(c.frame); err != nil {
		return c.lost(err)
	}
	c.timer.Reset(c.timeout + c.timeout/4)
	defer c.timer.Stop()
	var got answer
	select {
	case got = <-c.answers:
	case <-c.ended:
		return c.failure()
	case <-c.timer.C:
		return c.fail(fmt.Errorf("rank %d waited %v for rank 0 to answer %s", c.rank, c.timeout+c.timeout/4, k.describe(c.mesh)))
	}
	want := header{typ: answerFrame, call: k, number: c.number, size: got.size}
	want.call.count = out.len()
	if got.header != want {
		return c.fail(fmt.Errorf("rank %d expected the result of %s (call %d), rank 0 sent that of %s (call %d)", c.rank,
			want.call.describe(c.mesh), want.number, got.call.describe(c.mesh), got.number))
	}
	c.number++
	decodeValues(out, got.payload)
	return nil
}

// lost ends the run because rank 0 does not take what is sent; what it said before that counts more.
func (c *client) lost(err error) error {
	select {
	case <-c.ended:
		return c.failure()
	case <-time.After(lingerTimeout):
		return c.fail(&LostError{0, err})
	}
}

// leave takes leave of rank 0.
func (c *client) leave(reason error) error {
	defer c.conn.Close()
	if err := c.failure(); err != nil {
		return err
	}
	c.mu.Lock()
	c.left = true // what the connection says from now on is of no interest
	c.mu.Unlock()
	last := textFrame(byeFrame, "")
	if reason != nil {
		last = textFrame(failureFrame, reason.Error())
	}
	c.conn.SetWriteDeadline(time.Now().Add(c.timeout))
	if _, err := c.conn.Write(last); err != nil && reason == nil {
		return &LostError{0, err}
	}
	return reason
}

// fail keeps the first failure and returns it.
func (c *client) fail(err error) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.err == nil && !c.left {
		c.err = err
		close(c.ended)
	}
	return c.err
}

func (c *client) failure() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.err
}

func (c *client) failed() <-chan struct{} { return c.ended }
