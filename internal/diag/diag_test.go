package diag

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestRenderPointsAtTheLine(t *testing.T) {
	src := Sources{"m.flag": "first\n\tq = linear(qr, wq_b)\n"}
	d := New(Span{"m.flag", 2, 6, 12}, "type1", "axis k is %d", 7).
		WithNote(Span{"m.flag", 1, 1, 6}, "declared here").WithHelp("did you mean wq_a?")
	require.Equal(t, "m.flag:2:6: error: axis k is 7 [type1]\n"+
		"    2 | \tq = linear(qr, wq_b)\n"+
		"      | \t    ^^^^^^\n"+
		"  note: declared here (m.flag:1:1)\n"+
		"  help: did you mean wq_a?\n", Render(d, src))
	require.Equal(t, "m.flag:2:6: axis k is 7 (did you mean wq_a?)", d.Error())
}

func TestRenderCutsLongLines(t *testing.T) {
	long := strings.Repeat("a", 200) + "BAD" + strings.Repeat("z", 200)
	got := Render(New(Span{"c.json", 1, 201, 204}, "", "no"), Sources{"c.json": long})
	require.Equal(t, "c.json:1:201: error: no\n"+
		"    1 | …"+strings.Repeat("a", 50)+"BAD"+strings.Repeat("z", 47)+"…\n"+
		"      | "+strings.Repeat(" ", 51)+"^^^\n", got)
}

func TestRenderWithoutSourceOrPlace(t *testing.T) {
	require.Equal(t, "error: no\n", Render(New(Span{}, "", "no"), nil))
	require.Equal(t, "a:9: error: no\n", Render(New(Span{File: "a", Line: 9}, "", "no"), Sources{"a": "one line"}))
	require.Equal(t, "error: plain\n", RenderAll(errors.New("plain"), nil))
}

func TestListKeepsTenInSourceOrder(t *testing.T) {
	var l List
	require.NoError(t, l.Err())
	for i := 15; i > 0; i-- {
		l.Add(New(Span{File: "a", Line: i}, "", "m%d", i))
		l.Add(New(Span{File: "a", Line: i}, "", "m%d", i)) // the same again counts once
	}
	require.True(t, l.Full())
	var e *Errors
	require.ErrorAs(t, l.Err(), &e)
	require.Len(t, e.Items, Limit)
	require.Equal(t, 10, e.Dropped) // five beyond the limit, each twice
	require.Equal(t, "m6", e.Items[0].Message)
	require.Len(t, All(fmt.Errorf("wrapped: %w", l.Err())), Limit)
}

func TestNearest(t *testing.T) {
	names := []string{"linear", "rms_norm", "rope"}
	require.Equal(t, "linear", Nearest("liner", names))
	require.Equal(t, "rms_norm", Nearest("rsm_norm", names))
	require.Equal(t, "", Nearest("attention", names))
	require.Equal(t, "", DidYouMean("attention", names))
}
