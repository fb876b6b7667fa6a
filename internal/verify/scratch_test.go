package verify

import (
	"bytes"
	"os"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"flagc/internal/goldens"
	"flagc/passes"
	"flagc/targets"
)

func TestScratchTable(t *testing.T) {
	spec := os.Getenv("SPEC") // model:target:tp:policy:checks
	if spec == "" {
		t.Skip()
	}
	p := strings.Split(spec, ":")
	tp, _ := strconv.Atoi(p[2])
	target, _ := targets.Find(p[1])
	m := builtin(t, "deepseek-v4-nano")
	if strings.HasPrefix(p[0], "nano-") {
		m = goldens.Open(t, p[0]).Module(t, nil)
	} else {
		m = builtin(t, p[0])
	}
	_, err := passes.Run(m, passes.Options{Target: target, TP: tp, Precision: targets.Policy(p[3])}, "")
	require.NoError(t, err)
	o := Options{NoCache: true}
	for _, c := range strings.Split(p[4], ",") {
		o.Checks = append(o.Checks, Check(c))
	}
	if len(p) > 5 {
		o.Kernels = strings.Split(p[5], ",")
	}
	table, err := Verify(t.Context(), m, target, o)
	require.NoError(t, err)
	var b bytes.Buffer
	require.NoError(t, table.Print(&b))
	t.Log("\n" + b.String())
	f, n := table.Failed()
	require.Zero(t, f+n)
}
