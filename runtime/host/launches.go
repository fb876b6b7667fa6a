package host

import (
	"fmt"
	"strings"
)

// Launched is how many kernels a device would have been given for one kind of layer.
type Launched struct {
	Kind   string
	Layers int // 0 for what belongs to the whole model
	Count  int
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

// launchLine says how many launches one decoded token needs, from the counts before and after it:
// "launches per decoded token: 64, by kind of layer: block_swa_hash 2 x 9, …".
func launchLine(before, after []Launched) string {
	if len(after) == 0 {
		return "launches per decoded token: nothing was decoded in kernels"
	}
	total := 0
	var kinds []string
	for i, k := range after {
		n := k.Count - before[i].Count
		if n == 0 {
			continue
		}
		total += n
		if k.Layers > 0 {
			kinds = append(kinds, fmt.Sprintf("%s %d x %d", k.Kind, k.Layers, n/k.Layers))
		} else {
			kinds = append(kinds, fmt.Sprintf("%s %d", k.Kind, n))
		}
	}
	return fmt.Sprintf("launches per decoded token: %d, by kind of layer: %s", total, strings.Join(kinds, ", "))
}
