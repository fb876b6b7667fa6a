package collective

import (
	"fmt"
	"strings"
)

// Mesh is how ranks stand: in a row, or in a grid of several axes. Ranks count row by row, so that the last axis
// varies fastest. A nil mesh is one rank.
//
// A communicator is the ranks that differ along one axis only, named by that axis, or all ranks, named "".
type Mesh []Axis

// Axis is one axis of a mesh.
type Axis struct {
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

// Part says which place a rank has in its communicator, and of how many: also which part it has of whatever is
// split over it. It panics for an axis that the mesh does not have, which is a mistake of the caller's program.
func (m Mesh) Part(rank int, over string) (part, parts int) {
	part, parts, _ = m.place(rank, m.index(over))
	return part, parts
}

// String prints "tp=8" or "group=8 lane=2".
func (m Mesh) String() string {
	parts := make([]string, len(m))
	for i, a := range m {
		parts[i] = fmt.Sprintf("%s=%d", a.Name, a.Size)
	}
	return strings.Join(parts, " ")
}

// index numbers communicators: 0 for all ranks, i+1 for axis i.
func (m Mesh) index(over string) int {
	if over == "" {
		return 0
	}
	for i, a := range m {
		if a.Name == over {
			return i + 1
		}
	}
	panic(fmt.Sprintf("collective: the mesh has no axis %q", over))
}

// place finds a rank's part in its communicator, and how far apart neighbours count.
func (m Mesh) place(rank, over int) (part, parts, stride int) {
	if over == 0 {
		return rank, m.Ranks(), 1
	}
	stride = 1
	for _, a := range m[over:] {
		stride *= a.Size
	}
	parts = m[over-1].Size
	return rank / stride % parts, parts, stride
}

// overName describes a communicator in messages.
func (m Mesh) overName(over int) string {
	if over == 0 {
		return "all ranks"
	}
	return m[over-1].Name
}
