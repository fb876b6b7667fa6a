package collective

import (
	"errors"
	"fmt"
	"math"
	"net"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// grid has communicators of all kinds: six ranks, three groups of two lanes.
var grid = Mesh{{"group", 3}, {"lane", 2}}

// patience is long against what any of these tests does.
const patience = 30 * time.Second

// socket is a path short enough for the address of a socket.
func socket(t *testing.T) string {
	dir, err := os.MkdirTemp("", "ranks")
	require.NoError(t, err)
	t.Cleanup(func() { os.RemoveAll(dir) })
	return filepath.Join(dir, "s")
}

// distant connects the ranks of a mesh through a socket.
func distant(t *testing.T, m Mesh, timeout time.Duration) []*Rank {
	path := socket(t)
	o := Options{Timeout: timeout, Facts: []string{"seed 1"}}
	ranks := make([]*Rank, m.Ranks())
	var err error
	ranks[0], err = Listen(path, m, o)
	require.NoError(t, err)
	for i := 1; i < len(ranks); i++ {
		ranks[i], err = Dial(path, m, i, o)
		require.NoError(t, err)
	}
	return ranks
}

// links are the ways in which ranks reach the hub.
var links = map[string]func(t *testing.T, m Mesh, timeout time.Duration) []*Rank{
	"goroutines": func(_ *testing.T, m Mesh, timeout time.Duration) []*Rank { return Local(m, timeout) },
	"socket":     distant,
}

func eachLink(t *testing.T, m Mesh, timeout time.Duration, f func(t *testing.T, ranks []*Rank)) {
	for name, link := range links {
		t.Run(name, func(t *testing.T) { f(t, link(t, m, timeout)) })
	}
}

// together runs f on all ranks at once, each of which then leaves with what f returned; it returns what Leave did.
func together(ranks []*Rank, f func(r *Rank) error) []error {
	errs := make([]error, len(ranks))
	var wg sync.WaitGroup
	for i, r := range ranks {
		wg.Add(1)
		go func() {
			defer wg.Done()
			errs[i] = r.Leave(f(r))
		}()
	}
	wg.Wait()
	return errs
}

func requireWell(t *testing.T, errs []error) {
	t.Helper()
	for i, err := range errs {
		require.NoError(t, err, "rank %d", i)
	}
}

func TestPartsFollowTheMesh(t *testing.T) {
	for rank, want := range [][2]int{{0, 0}, {0, 1}, {1, 0}, {1, 1}, {2, 0}, {2, 1}} {
		group, groups := grid.Part(rank, "group")
		lane, lanes := grid.Part(rank, "lane")
		all, ranks := grid.Part(rank, "")
		require.Equal(t, []int{want[0], 3, want[1], 2, rank, 6}, []int{group, groups, lane, lanes, all, ranks})
	}
	require.Panics(t, func() { grid.Part(0, "row") })
	require.Equal(t, 1, Mesh(nil).Ranks())
}

// TestSumsAreTakenInTheOrderOfRanks adds numbers whose sum depends on the order: 2^60 swallows the 1 that comes
// after it, and not the one after -2^60.
func TestSumsAreTakenInTheOrderOfRanks(t *testing.T) {
	brings := []float64{1, 0x1p60, -0x1p60, 1, 0, 0}
	eachLink(t, grid, patience, func(t *testing.T, ranks []*Rank) {
		requireWell(t, together(ranks, func(r *Rank) error {
			all, group, lane := r.Comm(""), r.Comm("group"), r.Comm("lane")
			x, y := []float64{brings[r.Number()]}, make([]float32, 1)
			for range 100 {
				all.AllReduce(y, x, false)
				if y[0] != 1 {
					return fmt.Errorf("over all: %v", y)
				}
				lane.AllReduce(y, x, false)
				if want := []float32{0x1p60, -0x1p60, 0}[r.Number()/2]; y[0] != want {
					return fmt.Errorf("over lane: %v", y)
				}
				group.AllReduce(y, x, false)
				if want := []float32{-0x1p60, 0x1p60}[r.Number()%2]; y[0] != want {
					return fmt.Errorf("over group: %v", y)
				}
			}
			return nil
		}))
	})
}

func TestSumsAreRoundedOnce(t *testing.T) {
	eachLink(t, Mesh{{"tp", 2}}, patience, func(t *testing.T, ranks []*Rank) {
		requireWell(t, together(ranks, func(r *Rank) error {
			// 1 + 2^-8 is a tie of bf16 and goes to even; the other rank's 2^-40 lifts it over.
			x := []float64{1 + 0x1p-8, math.Copysign(0, -1)}
			if r.Number() == 1 {
				x = []float64{0x1p-40, math.Copysign(0, -1)}
			}
			y := make([]float32, 2)
			r.Comm("").AllReduce(y, x, true)
			if y[0] != 1+0x1p-7 || math.Signbit(float64(y[1])) {
				return fmt.Errorf("bf16: %v", y)
			}
			r.Comm("").AllReduce(y, x, false)
			if y[0] != 1+0x1p-8 {
				return fmt.Errorf("float32: %v", y)
			}
			one := []float32{0, 7}
			if r.Number() == 1 {
				one = []float32{5, 0}
			}
			r.Comm("").AllReduceOne(one, one)
			if one[0] != 5 || one[1] != 7 {
				return fmt.Errorf("one: %v", one)
			}
			return nil
		}))
	})
}

func TestGatherAndScatterRuns(t *testing.T) {
	eachLink(t, grid, patience, func(t *testing.T, ranks []*Rank) {
		requireWell(t, together(ranks, func(r *Rank) error {
			lane, n := r.Comm("lane"), float32(r.Number())
			first := n - float32(r.Number()%2)
			got := make([]float32, 8)
			lane.AllGather(got, []float32{n, n + 10, n + 20, n + 30}, 2)
			other := first + 1
			if want := []float32{first, first + 10, other, other + 10, first + 20, first + 30, other + 20, other + 30}; !equal(got, want) {
				return fmt.Errorf("gathered %v, want %v", got, want)
			}
			ints := make([]int32, 6)
			r.Comm("").AllGatherInts(ints, []int32{int32(r.Number()) - 3}, 1)
			if want := []int32{-3, -2, -1, 0, 1, 2}; !equal(ints, want) {
				return fmt.Errorf("gathered %v", ints)
			}
			part := make([]float32, 2)
			r.Comm("group").ReduceScatter(part, []float64{1, 2, 3, 4, 5, 6}, 1, true)
			if want := []float32{3 * float32(1+r.Number()/2), 3 * float32(4+r.Number()/2)}; !equal(part, want) {
				return fmt.Errorf("scattered %v, want %v", part, want)
			}
			lane.ReduceScatterOne(part, []float32{n, 0, 1, 0}, 2)
			if want := []float32{2*first + 1, 0}; r.Number()%2 == 0 && !equal(part, want) {
				return fmt.Errorf("scattered %v, want %v", part, want)
			}
			lane.AllGather(nil, nil, 0) // of an axis that is empty in this call
			return nil
		}))
	})
}

func equal[T comparable](a, b []T) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		if a[i] != b[i] {
			return false
		}
	}
	return true
}

// TestCallsAllocateNothing holds that meeting takes nothing from the heap once each kind of call has come.
func TestCallsAllocateNothing(t *testing.T) {
	const calls = 100
	eachLink(t, grid, patience, func(t *testing.T, ranks []*Rank) {
		requireWell(t, together(ranks, func(r *Rank) error {
			all, lane := r.Comm(""), r.Comm("lane")
			x, y, ids := make([]float64, 40), make([]float32, 40), make([]int32, 80)
			call := func() {
				all.AllReduce(y, x, true)
				lane.ReduceScatterOne(y[:20], y, 1)
				lane.AllGatherInts(ids, ids[:40], 40)
			}
			if r.Number() > 0 {
				for range calls + 1 { // as AllocsPerRun does
					call()
				}
			} else if n := testing.AllocsPerRun(calls, call); n > 0 {
				return fmt.Errorf("three calls make %v allocations", n)
			}
			return nil
		}))
	})
}

// TestLargeCallsCrossTheSocket brings more than a socket's buffers hold, from all ranks at once.
func TestLargeCallsCrossTheSocket(t *testing.T) {
	const n = 1 << 17
	requireWell(t, together(distant(t, grid, patience), func(r *Rank) error {
		x, y := make([]float64, n), make([]float32, n)
		for i := range x {
			x[i] = float64(i % 1000)
		}
		for range 3 {
			r.Comm("").AllReduce(y, x, false)
		}
		for i := range y {
			if y[i] != float32(6*(i%1000)) {
				return fmt.Errorf("element %d is %v", i, y[i])
			}
		}
		return nil
	}))
}

// TestDisagreementsEndAllRanks lets rank 1 ask for something else than the others in its third call.
func TestDisagreementsEndAllRanks(t *testing.T) {
	for name, c := range map[string]struct {
		other func(r *Rank)
		want  string
	}{
		"op": {func(r *Rank) { r.Comm("").AllGather(make([]float32, 24), make([]float32, 4), 1) },
			"all_gather of 4 float32 in runs of 1 over all ranks on rank 1"},
		"length": {func(r *Rank) { r.Comm("").AllReduce(make([]float32, 5), make([]float64, 5), true) },
			"all_reduce of 5 float64 in runs of 1 over all ranks on rank 1"},
		"kind": {func(r *Rank) { r.Comm("").AllReduceOne(make([]float32, 4), make([]float32, 4)) },
			"all_reduce of 4 float32 in runs of 1 over all ranks on rank 1"},
		"over": {func(r *Rank) { r.Comm("lane").AllReduce(make([]float32, 4), make([]float64, 4), true) },
			"all_reduce of 4 float64 in runs of 1 over lane on rank 1"},
		"ends": {func(r *Rank) {}, "rank 1 has ended, but rank"},
	} {
		t.Run(name, func(t *testing.T) {
			eachLink(t, grid, patience, func(t *testing.T, ranks []*Rank) {
				errs := together(ranks, func(r *Rank) error {
					all := r.Comm("")
					y := []float32{1, 1, 1, 1}
					for range 2 {
						all.AllReduce(y, []float64{1, 2, 3, 4}, true)
					}
					if r.Number() == 1 {
						c.other(r)
						return r.Err()
					}
					all.AllReduce(y, []float64{1, 2, 3, 4}, true)
					if y[3] != 0 {
						return fmt.Errorf("the failed call left %v", y)
					}
					return r.Err()
				})
				for i, err := range errs {
					if name == "ends" && i == 1 {
						continue // it went in peace
					}
					require.ErrorContains(t, err, "call 2", "rank %d", i)
					require.ErrorContains(t, err, c.want, "rank %d", i)
				}
			})
		})
	}
}

func TestAReasonReachesAllRanks(t *testing.T) {
	eachLink(t, grid, patience, func(t *testing.T, ranks []*Rank) {
		errs := together(ranks, func(r *Rank) error {
			if r.Number() == 4 {
				return errors.New("no such tensor")
			}
			r.Comm("lane").AllReduce(make([]float32, 1), make([]float64, 1), true) // rank 5 waits for 4, the others for 5's pair
			r.Comm("").AllReduce(make([]float32, 1), make([]float64, 1), true)
			<-r.Failed()
			return r.Err()
		})
		for i, err := range errs {
			require.ErrorContains(t, err, "no such tensor", "rank %d", i)
			if i != 4 {
				require.ErrorContains(t, err, "rank 4: ", "rank %d", i)
			}
		}
	})
}

func TestRanksThatDoNotComeAreNamed(t *testing.T) {
	eachLink(t, grid, 100*time.Millisecond, func(t *testing.T, ranks []*Rank) {
		errs := together(ranks, func(r *Rank) error {
			if r.Number() == 2 || r.Number() == 5 {
				<-r.Failed()
				return r.Err()
			}
			r.Comm("").AllReduce(make([]float32, 1), make([]float64, 1), true)
			return r.Err()
		})
		for _, err := range errs {
			require.ErrorContains(t, err, "waited 100ms in all_reduce of 1 float64 in runs of 1 over all ranks for rank 2, 5")
		}
	})
}

// TestADeadRankEndsTheRun cuts a connection as the end of its process does.
func TestADeadRankEndsTheRun(t *testing.T) {
	for _, dead := range []int{0, 3} {
		t.Run(fmt.Sprint(dead), func(t *testing.T) {
			ranks := distant(t, grid, patience)
			errs := together(ranks, func(r *Rank) error {
				r.Comm("").AllReduce(make([]float32, 1), make([]float64, 1), true)
				if r.Number() == dead {
					switch l := r.link.(type) {
					case *client:
						l.conn.Close()
					case *server:
						return errors.New("cannot go on")
					}
					return nil
				}
				r.Comm("").AllReduce(make([]float32, 1), make([]float64, 1), true)
				return r.Err()
			})
			want := map[int]string{0: "rank 0: cannot go on", 3: "rank 3 ended before the run was over"}[dead]
			for i, err := range errs {
				if i != dead {
					require.ErrorContains(t, err, want, "rank %d", i)
				}
			}
			var lost *LostError
			if dead == 3 {
				require.True(t, errors.As(errs[0], &lost))
				require.Equal(t, 3, lost.Rank)
			}
		})
	}
}

func TestRanksOfOtherRunsAreRefused(t *testing.T) {
	path := socket(t)
	m := Mesh{{"tp", 3}}
	zero, err := Listen(path, m, Options{Timeout: patience, Facts: []string{"max-new 4", "seed 1"}})
	require.NoError(t, err)
	_, err = Listen(path, m, Options{Timeout: patience})
	require.ErrorContains(t, err, "exists: another run uses it")

	stranger, err := net.Dial("unix", path)
	require.NoError(t, err)
	stranger.Write([]byte("GET / HTTP/1.1\r\nHost: localhost\r\nAccept: */*\r\n\r\n"))
	_, err = stranger.Read(make([]byte, 1))
	require.Error(t, err, "the connection is closed without an answer")

	come := func(rank int, m Mesh, facts ...string) error {
		r, err := Dial(path, m, rank, Options{Timeout: patience, Facts: facts})
		require.NoError(t, err)
		<-r.Failed()
		return r.Leave(nil)
	}
	require.ErrorContains(t, come(3, m), `there is no rank "3" beside rank 0: expected 1 to 2`)
	_, err = Dial(path, m, 1, Options{Timeout: patience, Facts: []string{"max-new 4", "seed 1"}})
	require.NoError(t, err)
	require.Eventually(t, func() bool {
		s := zero.link.(*server)
		s.mu.Lock()
		defer s.mu.Unlock()
		return s.here[1]
	}, patience, time.Millisecond)
	require.ErrorContains(t, come(1, m, "max-new 4", "seed 1"), "rank 1 is there already")
	require.NoError(t, zero.Err(), "none of them ends the run")

	err = come(2, m, "max-new 8", "seed 1")
	require.ErrorContains(t, err, `rank 2 was started otherwise than rank 0: it has "max-new 8", rank 0 has "max-new 4"`)
	require.ErrorContains(t, zero.Err(), err.Error(), "one that was started otherwise does")
	require.Error(t, zero.Leave(nil))
	_, err = os.Stat(path)
	require.ErrorIs(t, err, os.ErrNotExist)
}

// TestALateRankLearnsTheReason lets ranks come when the run has failed already.
func TestALateRankLearnsTheReason(t *testing.T) {
	path := socket(t)
	m := Mesh{{"tp", 3}}
	zero, err := Listen(path, m, Options{Timeout: patience})
	require.NoError(t, err)
	left := make(chan error)
	go func() { left <- zero.Leave(errors.New("no weights")) }()
	<-zero.Failed()
	for rank := 1; rank < 3; rank++ {
		r, err := Dial(path, m, rank, Options{Timeout: patience})
		require.NoError(t, err)
		<-r.Failed()
		require.EqualError(t, r.Leave(nil), "rank 0: no weights")
	}
	require.EqualError(t, <-left, "rank 0: no weights")
	_, err = os.Stat(path)
	require.ErrorIs(t, err, os.ErrNotExist)
}

func TestFactsMustBeTheSame(t *testing.T) {
	m := Mesh{{"tp", 2}}
	text := func(facts ...string) string { return string(hello(1, m, facts)[headerSize:]) }
	rank, err := readHello(text("a 1", "b 2"), m, []string{"a 1", "b 2"})
	require.NoError(t, err)
	require.Equal(t, 1, rank)
	for want, lines := range map[string][]string{
		`it has nothing for "b 2"`:           {"a 1"},
		`it has "c 3", rank 0 has "nothing"`: {"a 1", "b 2", "c 3"},
		`it has "a 2", rank 0 has "a 1"`:     {"a 2", "b 2"},
	} {
		_, err := readHello(text(lines...), m, []string{"a 1", "b 2"})
		require.ErrorContains(t, err, want)
	}
	_, err = readHello(text(), Mesh{{"tp", 4}}, nil)
	require.ErrorContains(t, err, `it has "ranks tp=2", rank 0 has "ranks tp=4"`)
}

func TestTheSocketIsGoneWhenAllAreThere(t *testing.T) {
	path := socket(t)
	m := Mesh{{"tp", 2}}
	o := Options{Timeout: patience}
	zero, err := Listen(path, m, o)
	require.NoError(t, err)
	info, err := os.Stat(path)
	require.NoError(t, err)
	require.Equal(t, os.FileMode(0o600), info.Mode().Perm())
	one, err := Dial(path, m, 1, o)
	require.NoError(t, err)
	requireWell(t, together([]*Rank{zero, one}, func(r *Rank) error {
		r.Comm("").AllReduce(make([]float32, 1), make([]float64, 1), true)
		if _, err := os.Stat(path); !errors.Is(err, os.ErrNotExist) {
			return fmt.Errorf("the socket is there: %v", err)
		}
		return nil
	}))
	_, err = Dial(path, m, 1, Options{Timeout: time.Millisecond})
	require.ErrorContains(t, err, "rank 0 did not listen on "+path)
}

func TestShapeMistakesPanic(t *testing.T) {
	c := Local(Mesh{{"tp", 1}}, patience)[0].Comm("")
	for _, f := range []func(){
		func() { c.AllReduce(make([]float32, 2), make([]float64, 3), true) },
		func() { c.AllReduceOne(make([]float32, 2), make([]float32, 3)) },
		func() { c.AllGather(make([]float32, 3), make([]float32, 3), 2) },
		func() { c.AllGather(make([]float32, 3), make([]float32, 3), 0) },
		func() { c.ReduceScatter(make([]float32, 2), make([]float64, 3), 1, true) },
	} {
		require.Panics(t, f)
	}
}
