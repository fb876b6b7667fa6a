package passes_test

import (
	"fmt"
	"regexp"
	"testing"
)

func TestZZSurvey(t *testing.T) {
	re := regexp.MustCompile(`[%$][a-zA-Z0-9_.]+|[0-9.e+-]+|\[[^\]]*\]`)
	n := map[string]int{}
	ex := map[string]int64{}
	tally := map[string]int{}
	for s := int64(1); s <= int64(*graphs); s++ {
		if p := check(s, tally); p != nil {
			k := p.kind + " | " + re.ReplaceAllString(p.text, "_")
			if len(k) > 150 {
				k = k[:150]
			}
			n[k]++
			ex[k] = s
		}
	}
	for k, v := range n {
		fmt.Println(v, ex[k], k)
	}
	t.Log(tallied(tally))
}
