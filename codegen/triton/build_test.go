package triton

import (
	"fmt"
	"testing"
	"time"

	"flagc/targets"
)

func TestProbe(t *testing.T) {
	for _, target := range targets.All() {
		if target.Host.Executes {
			continue
		}
		for model, tp := range map[string]int{"deepseek-v4-flash": 8, "deepseek-v4-pro": 16} {
			m := lowered(t, model, target, tp, "")
			start := time.Now()
			b, err := NewBuild(m, target)
			fmt.Println(target.Name, model, len(b.Kernels), len(b.Programs()), len(b.Warnings), time.Since(start))
			if err != nil {
				s := err.Error()
				fmt.Println(s[:min(len(s), 3000)])
			}
			if target.Name == "h20" {
				for _, p := range b.Programs() {
					fmt.Println(p.Name, "|", p.Grid, "|", p.Bytes, "|", p.Flops)
				}
			}
		}
	}
}
