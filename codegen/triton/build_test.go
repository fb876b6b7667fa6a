package triton

import (
	"fmt"
	"os"
	"testing"

	"github.com/stretchr/testify/require"

	"flagc/targets"
)

func TestProbe(t *testing.T) {
	target, _ := targets.Find("h20")
	m := lowered(t, "deepseek-v4-flash", target, 8, "")
	b, _ := NewBuild(m, target)
	for _, k := range b.Kernels {
		for _, p := range k.Programs {
			for _, q := range p.Params {
				o := k.Origin(q.Name)
				if o == nil || (o.Kind == FromValue || o.Kind == FromScales) && o.Argument == nil && o.Result == nil {
					fmt.Println(p.Name, q.Name, o)
				}
			}
			if p.Bytes == "" || p.Flops == "" {
				fmt.Println(p.Name, p.Bytes, p.Flops)
			}
		}
	}
	f, err := b.Files()
	require.NoError(t, err)
	os.WriteFile("/tmp/kb-kernels.json", f["kernels.json"], 0o666)
}
