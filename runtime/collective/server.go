package collective

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"sync"
	"syscall"
	"time"
)

// helloTimeout is how long a connection has to say who it is.
const helloTimeout = 10 * time.Second

// lingerTimeout is how long rank 0 waits after a failure for the others: for those that have come to take leave, and
// for those still on their way to come and learn the reason.
const lingerTimeout = 2 * time.Second

// LostError says that the connection to a rank ended before the rank took leave.
type LostError struct {
	Rank   int
	Reason error
}

// Error names the rank.
func (e *LostError) Error() string {
	if errors.Is(e.Reason, io.EOF) || errors.Is(e.Reason, syscall.ECONNRESET) || errors.Is(e.Reason, syscall.EPIPE) {
		return fmt.Sprintf("rank %d ended before the run was over", e.Rank)
	}
	return fmt.Sprintf("lost rank %d: %v", e.Rank, e.Reason)
}

// Unwrap is what the connection said.
func (e *LostError) Unwrap() error { return e.Reason }

// server is the link of rank 0, which holds the hub for ranks in other processes.
type server struct {
	local
	facts    []string
	listener net.Listener
	serving  sync.WaitGroup

	mu   sync.Mutex
	here []bool // ranks that have come
}

// Listen makes the socket at path and returns rank 0. The other ranks Dial it; the socket is removed as soon as
// all of them are there, at the latest by Leave.
func Listen(path string, m Mesh, o Options) (*Rank, error) {
	l, err := net.Listen("unix", path)
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		return nil, fmt.Errorf("the socket %s exists: another run uses it, or one was killed and has left it; remove it, or "+
			"choose another path", path)
	case err != nil:
		return nil, fmt.Errorf("cannot listen on the socket %s: %w", path, errors.Unwrap(err))
	}
	if err := os.Chmod(path, 0o600); err != nil {
		l.Close()
		return nil, err
	}
	h := newHub(m, o.Timeout)
	s := &server{local: local{h, 0}, facts: o.Facts, listener: l, here: make([]bool, m.Ranks())}
	s.here[0] = true
	s.serving.Add(1)
	go s.accept()
	return &Rank{m, 0, s}, nil
}

// accept takes connections until all ranks are there.
func (s *server) accept() {
	defer s.serving.Done()
	for {
		conn, err := s.listener.Accept()
		if err != nil {
			if !errors.Is(err, net.ErrClosed) {
				s.fail(fmt.Errorf("rank 0 cannot take connections: %w", err))
			}
			return
		}
		s.serving.Add(1)
		go s.serve(conn)
	}
}

// serve holds one connection from its hello to its end.
func (s *server) serve(conn net.Conn) {
	defer s.serving.Done()
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(helloTimeout))
	head, text, err := readFrame(conn, nil, len(s.mesh))
	if err != nil || head.typ != helloFrame {
		return // not a rank
	}
	rank, err := s.admit(string(text))
	if err != nil {
		conn.Write(textFrame(failureFrame, err.Error()))
		return
	}
	conn.SetDeadline(time.Time{})
	p := &peer{server: s, rank: rank, conn: conn}
	done, told := make(chan struct{}), make(chan struct{})
	go p.tell(done, told)
	p.serve()
	close(done)
	<-told
}

// admit checks a hello and closes the door behind the last rank. A rank that is there already, or is none, is sent
// away; one that was started otherwise ends the run.
func (s *server) admit(text string) (rank int, err error) {
	rank, err = readHello(text, s.mesh, s.facts)
	if rank == 0 {
		return 0, err
	}
	if err != nil {
		s.fail(err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if err == nil && s.here[rank] {
		return 0, fmt.Errorf("rank %d is there already", rank)
	}
	s.here[rank] = true
	for _, here := range s.here {
		if !here {
			return rank, err
		}
	}
	s.listener.Close()
	return rank, err
}

// leave waits for the other ranks. After a failure the door stays open for a while: who finds it closed would be told
// that rank 0 is not there, and not why.
func (s *server) leave(reason error) error {
	s.hub.leave(0, reason)
	gone := make(chan struct{})
	go func() {
		s.serving.Wait()
		close(gone)
	}()
	select {
	case <-gone:
		return s.failure()
	case <-s.hub.failed:
	case <-time.After(s.timeout):
		s.fail(fmt.Errorf("rank 0 waited %v for the other ranks to end", s.timeout))
	}
	select {
	case <-gone:
	case <-time.After(lingerTimeout):
	}
	s.listener.Close()
	return s.failure()
}

// peer is a rank in another process, as rank 0 sees it.
type peer struct {
	*server
	rank int
	conn net.Conn

	writing sync.Mutex
	payload []byte
	frame   []byte
	in, out values
}

// serve answers calls until the rank leaves.
func (p *peer) serve() {
	for number := uint64(0); ; number++ {
		var head header
		var err error
		if head, p.payload, err = readFrame(p.conn, p.payload, len(p.mesh)); err != nil {
			p.fail(&LostError{p.rank, err})
			return
		}
		switch {
		case head.typ == byeFrame:
			p.hub.leave(p.rank, nil)
			return
		case head.typ == failureFrame:
			p.hub.leave(p.rank, errors.New(string(p.payload)))
			return
		case head.typ != askFrame || head.number != number:
			p.fail(fmt.Errorf("rank %d sent frame type %d of call %d where rank 0 expected call %d", p.rank, head.typ, head.number,
				number))
			return
		}
		if !p.answer(head) {
			return
		}
	}
}

// answer makes a call for the rank and sends the result.
func (p *peer) answer(head header) bool {
	c := head.call
	_, parts, _ := p.mesh.place(p.rank, c.over)
	if !c.fits(parts) {
		p.fail(fmt.Errorf("rank %d asks for %s, which %d ranks cannot divide", p.rank, c.describe(p.mesh), parts))
		return false
	}
	p.in.reuse(c.kind, c.count)
	p.out.reuse(c.kind, c.yields(parts))
	decodeValues(&p.in, p.payload)
	if p.hub.meet(p.rank, c, &p.in, &p.out) != nil {
		return false
	}
	head.typ = answerFrame
	head.call.count = p.out.len()
	p.frame = encodeValues(p.frame, head, &p.out)
	if err := p.send(p.frame); err != nil {
		p.fail(&LostError{p.rank, err})
		return false
	}
	return true
}

func (p *peer) send(frame []byte) error {
	p.writing.Lock()
	defer p.writing.Unlock()
	p.conn.SetWriteDeadline(time.Now().Add(p.timeout))
	_, err := p.conn.Write(frame)
	return err
}

// tell passes a failure on to the rank and ends the connection, whether the rank is being served or not.
func (p *peer) tell(done, told chan struct{}) {
	defer close(told)
	select {
	case <-p.hub.failed:
	case <-done:
	}
	if err := p.failure(); err != nil {
		p.send(textFrame(failureFrame, err.Error()))
		p.conn.Close()
	}
}
