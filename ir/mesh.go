package ir

import (
	"fmt"
	"strings"
)

// Mesh is how the ranks of a build stand: in a row, or in a grid of two axes where some work is split over one
// of them alone. Ranks count row by row, so that the last axis varies fastest. A nil mesh is one rank.
//
// A communicator is the ranks that differ in one mesh axis only, or all of them. It is named by that axis, and ""
// means all.
type Mesh []MeshAxis

// MeshAxis is one axis of a mesh.
type MeshAxis struct {
	Name string
	Size int
}

// Ranks is how many ranks there are.
func (m Mesh) Ranks() int {
	n := 1
	for _, a := range m {
		n *= a.Size
	}
	return n
}

// Size is the number of ranks of a communicator, 0 for an axis that the mesh does not have.
func (m Mesh) Size(over string) int {
	if over == "" {
		return m.Ranks()
	}
	for _, a := range m {
		if a.Name == over {
			return a.Size
		}
	}
	return 0
}

// stride is how far apart neighbours along an axis count.
func (m Mesh) stride(over string) int {
	n := 1
	for i := len(m) - 1; i >= 0; i-- {
		if m[i].Name == over {
			return n
		}
		n *= m[i].Size
	}
	return 1
}

// Index is a rank's place in its communicator, which is also which part it has of an axis split over it.
func (m Mesh) Index(rank int, over string) int {
	if over == "" {
		return rank
	}
	return rank / m.stride(over) % m.Size(over)
}

// Members lists the ranks of a rank's communicator in the order of their places.
func (m Mesh) Members(rank int, over string) []int {
	out := make([]int, m.Size(over))
	first, step := 0, 1
	if over != "" {
		step = m.stride(over)
		first = rank - m.Index(rank, over)*step
	}
	for i := range out {
		out[i] = first + i*step
	}
	return out
}

// Communicators lists every communicator over an axis, ordered by first rank.
func (m Mesh) Communicators(over string) [][]int {
	var out [][]int
	for r := range m.Ranks() {
		if m.Index(r, over) == 0 {
			out = append(out, m.Members(r, over))
		}
	}
	return out
}

// String prints "tp=8" or "group=8 lane=2".
func (m Mesh) String() string {
	parts := make([]string, len(m))
	for i, a := range m {
		parts[i] = fmt.Sprintf("%s=%d", a.Name, a.Size)
	}
	return strings.Join(parts, " ")
}

// order is an axis' place in the mesh; -1 for "" and for axes that it does not have.
func (m Mesh) order(over string) int {
	for i, a := range m {
		if a.Name == over {
			return i
		}
	}
	return -1
}

// Check says what is wrong with how a type uses the mesh: every split must have as many parts as its
// communicator has ranks, and no rank may be used twice. Axes of the mesh appear in its order, so that a view can
// join an axis split over the first with its neighbour split over the second. "" says that nothing is wrong.
func (m Mesh) Check(t Type) string {
	last, all := -1, false
	use := func(over string, what string) string {
		at := m.order(over)
		switch {
		case over != "" && (at < 0 || len(m) < 2):
			return fmt.Sprintf("%s is over %q, which is no axis of the mesh (%s)", what, over, m)
		case all || over == "" && last >= 0:
			return fmt.Sprintf("%s uses ranks that the type %s uses already", what, t)
		case over != "" && at <= last:
			return fmt.Sprintf("%s is over %q, out of the order of the mesh (%s)", what, over, m)
		}
		all, last = over == "", at
		return ""
	}
	for _, d := range t.Dims {
		if d.Split == 0 {
			continue
		}
		if text := use(d.Over, "the split of axis "+d.Name); text != "" {
			return text
		}
		if n := m.Size(d.Over); n != d.Split {
			return fmt.Sprintf("axis %s is split into %d parts, but there are %d ranks (mesh %s)", d.Name, d.Split, n, m)
		}
	}
	if t.Partial == NotPartial {
		return ""
	}
	if m.Ranks() < 2 {
		return "a part of a sum needs a mesh of several ranks"
	}
	if last >= 0 && m.order(t.Over) >= 0 && m.order(t.Over) != last {
		return "" // a sum over one axis of parts along another, whatever their order
	}
	return use(t.Over, "the sum")
}
