package fit

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"flagc/internal/diag"
	"flagc/internal/goldens"
	"flagc/passes"
	"flagc/targets"
)

func question(t *testing.T, model, target string) Question {
	m, _ := goldens.Builtin(t, model)
	tg, ok := targets.Find(target)
	require.True(t, ok)
	return Question{Model: m, Options: passes.Options{Target: tg}, MaxContext: 1 << 20}
}

func ask(t *testing.T, q Question) *Answer {
	before := q.Model.String()
	a, err := Ask(q)
	require.NoError(t, err)
	require.Equal(t, before, q.Model.String(), "the model stays as it is")
	return a
}

// row finds a policy and degree.
func (a *Answer) row(t *testing.T, policy targets.Policy, cards int) Row {
	for _, r := range a.Rows {
		if r.Policy == policy && r.Cards == cards {
			return r
		}
	}
	require.Fail(t, "no such row", "%s on %d", policy, cards)
	return Row{}
}

// TestFlashOn32GB holds the question that deployers ask most, against sums by hand: one of eight cards has 32 of 256
// experts in each of 44 layers.
func TestFlashOn32GB(t *testing.T) {
	q := question(t, "deepseek-v4-flash", "ascend-910b-32g")
	q.Cards = 8
	a := ask(t, q)
	require.Len(t, a.Rows, 2)

	w4a16, bf16 := a.row(t, targets.PolicyW4A16, 8), a.row(t, targets.PolicyBF16, 8)
	elements := 44 * 32 * 3 * 2048 * 4096
	require.Equal(t, passes.Part{Name: "routed experts", Bytes: elements/2 + elements/32}, w4a16.Memory.Weights[0])
	require.Equal(t, passes.Part{Name: "routed experts", Bytes: elements * 2}, bf16.Memory.Weights[0])

	// Linears in BF16: what all ranks have, what eight share, the indexers of 21 layers, the MTP block's pair.
	layer := 1024*4096 + 512*4096 + (32768*1024+8192*4096+4096*8192+3*2048*4096)/8
	linears := passes.Part{Name: "linears", Bytes: 2 * (44*layer + 21*8192*1024/8 + 2*4096*4096)}
	require.Equal(t, linears, w4a16.Memory.Weights[1])
	require.Equal(t, linears, bf16.Memory.Weights[1])
	require.Equal(t, 129280*4096*2/8, w4a16.Memory.Weights[2].Bytes)

	require.Equal(t, Device{true, 32 << 30, 30 << 30, "its memory (vendor) less 2 GiB for driver and runtime (estimated)"}, a.Device)
	require.Equal(t, 30<<30-w4a16.Memory.Total, w4a16.Free)
	require.Equal(t, Fits, w4a16.Verdict)
	require.Equal(t, TooMuch, bf16.Verdict)
	require.Equal(t, []string{"policy w4a16", "32 cards"}, bf16.Changes)
	require.Equal(t, 1, a.Best)
	require.Equal(t, 8, a.Fewest)
}

// TestVerdicts holds answers that deployers know from experience or arithmetic: the weights alone decide.
func TestVerdicts(t *testing.T) {
	for _, c := range []struct {
		model, target string
		policy        targets.Policy
		cards         int
		want          Verdict
	}{
		{"deepseek-v4-flash", "h200", targets.PolicyW4A8, 1, TooMuch}, // 160 GB of checkpoint
		{"deepseek-v4-flash", "h200", targets.PolicyW4A8, 2, Fits},
		{"deepseek-v4-flash", "h200", targets.PolicyFP8, 2, TooMuch}, // 292 GB
		{"deepseek-v4-flash", "p800", targets.PolicyBF16, 8, Fits},   // 8 × 96 GB for 582 GB
		{"deepseek-v4-pro", "h200", targets.PolicyW4A8, 8, Fits},     // 865 GB
		{"deepseek-v4-pro", "p800", targets.PolicyBF16, 16, TooMuch}, // 3.2 TB on 1.5 TB
		{"deepseek-v4-pro", "p800", targets.PolicyW4A16, 16, Fits},
		{"deepseek-v4-pro", "h20", targets.PolicyFP8, 16, TooMuch}, // 1.6 TB on 1.5 TB
		{"deepseek-v4-pro", "h20", targets.PolicyW4A8, 16, Fits},
	} {
		q := question(t, c.model, c.target)
		q.Options.Precision, q.Cards, q.Options.Context = c.policy, c.cards, 4096
		require.Equal(t, c.want, ask(t, q).Rows[0].Verdict, "%s on %d × %s with %s", c.model, c.cards, c.target, c.policy)
	}
}

// TestLongestIsExact holds the longest context at its edge: it fits, and one token more does not.
func TestLongestIsExact(t *testing.T) {
	q := question(t, "deepseek-v4-flash", "h200")
	q.Options.Precision, q.Cards, q.Options.Batch, q.Options.Chunk = targets.PolicyW4A8, 2, 32, 512
	a := ask(t, q)
	n := a.Rows[0].Longest
	require.Greater(t, n, 4096)
	require.Less(t, n, 1<<20)
	q.Options.Context = n
	require.Equal(t, Fits, ask(t, q).Rows[0].Verdict)
	q.Options.Context = n + 1
	over := ask(t, q).Rows[0]
	require.Equal(t, TooMuch, over.Verdict)
	require.Equal(t, n, over.Longest)
	require.Contains(t, over.Changes, "a context of at most "+thousands(n))
}

// TestShorterCallsAreOffered holds the remedy where the workspace of prefill is what is too much, at its edge.
func TestShorterCallsAreOffered(t *testing.T) {
	q := question(t, "deepseek-v4-flash", "ascend-910b-32g")
	q.Options.Precision, q.Cards, q.Options.Chunk = targets.PolicyW4A16, 8, 65536
	r := ask(t, q).Rows[0]
	require.Equal(t, TooMuch, r.Verdict)
	var chunk int
	for _, change := range r.Changes {
		text := strings.ReplaceAll(change, ",", "")
		if n, _ := fmt.Sscanf(text, "prefill calls of at most %d tokens", &chunk); n == 1 {
			break
		}
	}
	require.Greater(t, chunk, 4096, "%v", r.Changes)
	q.Options.Chunk = chunk
	require.Equal(t, Fits, ask(t, q).Rows[0].Verdict)
	q.Options.Chunk = chunk + 1
	require.Equal(t, TooMuch, ask(t, q).Rows[0].Verdict)
}

func TestQuestionsThatHaveNoAnswer(t *testing.T) {
	q := question(t, "deepseek-v4-pro", "h200")
	q.Cards = 12
	_, err := Ask(q)
	d := diag.All(err)
	require.Len(t, d, 1)
	require.Equal(t, "deepseek_v4 cannot be split over 12 cards", d[0].Message)
	require.Equal(t, "legal next to it: 8 and 16", d[0].Help)
	require.GreaterOrEqual(t, len(d[0].Notes), 3)

	q = question(t, "deepseek-v4-pro", "h200")
	q.Options.Precision = targets.PolicyNative
	_, err = Ask(q)
	require.ErrorContains(t, err, "target h200 cannot compute the policy native")

	q = question(t, "deepseek-v4-pro", "h200")
	q.Options.Context = 1<<20 + 1
	_, err = Ask(q)
	require.ErrorContains(t, err, "context 1048577: the model's configuration allows at most 1048576 positions")

	q = question(t, "deepseek-v4-pro", "h200")
	q.Options.Context = 1
	_, err = Ask(q)
	require.ErrorContains(t, err, "a decoded token needs a sequence and a token before it")
}

// TestUnknownMemory holds that no verdict is given where a device's memory is unknown.
func TestUnknownMemory(t *testing.T) {
	a := ask(t, question(t, "deepseek-v4-nano", "cpu"))
	for _, r := range a.Rows {
		require.Equal(t, Unknown, r.Verdict)
		require.Zero(t, r.Free)
	}
	require.False(t, a.Device.Known)
	require.Zero(t, a.Best)
	require.Contains(t, a.Text("nano"), "the memory of target cpu is not known")
}
