package collective

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// Options of ranks in processes of their own.
type Options struct {
	// Timeout is how long a rank waits for another.
	Timeout time.Duration
	// Facts are lines such as "max-new 16" in which all ranks must agree: what they run, and on what.
	Facts []string
}

// hello is what a rank says of itself when it comes: its number, the mesh, its facts, a line each.
func hello(rank int, m Mesh, facts []string) []byte {
	lines := append([]string{strconv.Itoa(rank), "ranks " + m.String()}, facts...)
	return textFrame(helloFrame, strings.Join(lines, "\n"))
}

// readHello checks what a rank says of itself against rank 0.
func readHello(text string, m Mesh, facts []string) (rank int, err error) {
	lines := strings.Split(text, "\n")
	if rank, err = strconv.Atoi(lines[0]); err != nil || rank < 1 || rank >= m.Ranks() {
		return 0, fmt.Errorf("there is no rank %q beside rank 0: expected 1 to %d", lines[0], m.Ranks()-1)
	}
	want := append([]string{"ranks " + m.String()}, facts...)
	for i, line := range lines[1:] {
		if i >= len(want) || line != want[i] {
			mine := "nothing"
			if i < len(want) {
				mine = want[i]
			}
			return rank, fmt.Errorf("rank %d was started otherwise than rank 0: it has %q, rank 0 has %q", rank, line, mine)
		}
	}
	if len(lines)-1 < len(want) {
		return rank, fmt.Errorf("rank %d was started otherwise than rank 0: it has nothing for %q", rank, want[len(lines)-1])
	}
	return rank, nil
}
