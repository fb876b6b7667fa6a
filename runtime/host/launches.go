package host

import (
	"fmt"
	"strings"
)

// Launched is how many kernels a device would have been given for one kind of layer, and how often ranks met in it.
type Launched struct {
	Kind        string
	Layers      int // 0 for what belongs to the whole model
	Count       int
	Collectives int // those that stand side by side are one
}

// Launcher is a model whose graph is cut into kernels and that counts them.
type Launcher interface {
	// Launched counts since the model was loaded, by kind of layer.
	Launched() []Launched
}

// launched is the present count of a model that counts, nil otherwise.
func launched(m Model) []Launched {
	if l, ok := m.(Launcher); ok {
		return l.Launched()
	}
	return nil
}

// launchLines say how many launches one decoded token needs, and how many collectives where there are any, from the
// counts before and after it: "launches per decoded token: 64, by kind of layer: block_swa_hash 2 x 9, …". Layers of a
// kind may differ in how they begin; the number is their average.
func launchLines(before, after []Launched) []string {
	if len(after) == 0 {
		return []string{"launches per decoded token: nothing was decoded in kernels"}
	}
	lines := []string{countLine("launches", before, after, func(l Launched) int { return l.Count })}
	met := countLine("collectives", before, after, func(l Launched) int { return l.Collectives })
	if met != "" {
		lines = append(lines, met)
	}
	return lines
}

// countLine is "" where nothing was counted.
func countLine(what string, before, after []Launched, count func(Launched) int) string {
	total := 0
	var kinds []string
	for i, k := range after {
		n := count(k) - count(before[i])
		if n == 0 {
			continue
		}
		total += n
		if k.Layers > 0 {
			kinds = append(kinds, fmt.Sprintf("%s %d x %.3g", k.Kind, k.Layers, float64(n)/float64(k.Layers)))
		} else {
			kinds = append(kinds, fmt.Sprintf("%s %d", k.Kind, n))
		}
	}
	if total == 0 {
		return ""
	}
	return fmt.Sprintf("%s per decoded token: %d, by kind of layer: %s", what, total, strings.Join(kinds, ", "))
}
