// Package targets describes machines as data: what they can do and how much, each fact with its source. Code
// elsewhere asks for traits and never for a vendor's name; what is not known stays unknown.
//
// One file holds one vendor. A variant is written as its relative with the differences named, so a reader
// sees what sets it apart; a fact that is sourced for the relative alone is forgotten there explicitly.
//
// The package knows nothing of models, graphs or code generation. Targets are values and never change.
package targets

import "sort"

// Target is one machine that a build is made for. Every group of facts describes one device as a rank sees
// it: a package of two dies that the driver lists as two devices is two devices here.
type Target struct {
	Name   string // as --target takes it
	Doc    string // one sentence for people
	Vendor string // for people; code asks for traits
	Like   string // the target that this one was derived from, "" if none
	Tier   Tier
	Policy Policy // the precision policy if the user names none

	Host       Host
	Memory     Memory
	Link       Link
	Compute    Compute
	Dot        Dot
	OnChip     OnChip
	Cube       *Cube // nil where matrix products run from the on-chip memory above
	Warps      Warps
	Stages     Stages
	Grid       Grid
	Index      Index
	Loads      Loads
	Stores     Stores
	Reductions Reductions
	Ops        Ops
	Toolchain  Toolchain
	Launch     Launch

	Notes []Note // what people should know and no code asks
}

// Tier says how far a target is proved, honestly, for users to see.
type Tier string

// The support tiers, from the strongest to the weakest.
const (
	Verified    Tier = "verified on hardware"
	Compiled    Tier = "compiled with the vendor's public toolchain"
	Interpreted Tier = "interpreted and checked against documented rules"
	Described   Tier = "described only: no kernels are generated yet"
)

// Note is a sentence about a machine with its source.
type Note struct {
	Text   string `json:"text"`
	Source string `json:"source"`
}

// like derives a variant: a copy of t under a new name, with the changes of except.
func (t Target) like(name, doc string, except func(*Target)) Target {
	variant := t
	variant.Name, variant.Doc, variant.Like = name, doc, t.Name
	variant.Notes = append([]Note(nil), t.Notes...)
	except(&variant)
	return variant
}

// note adds a sentence for people.
func (t *Target) note(text, source string) { t.Notes = append(t.Notes, Note{text, source}) }

// all lists every target. A new one is a literal in its vendor's file and a name here.
var all = []Target{
	CPU,
	H100, H20, H200, B200, A100,
	Ascend910B64, Ascend910B32, Ascend910C,
	BW1000, BW1100, K100AI,
	C500, C550,
	S5000,
	P800,
	Zhenwu810E,
	BIV150, BIV100,
}

// All returns every target, ordered by name.
func All() []Target {
	out := append([]Target(nil), all...)
	sort.Slice(out, func(i, j int) bool { return out[i].Name < out[j].Name })
	return out
}

// Names returns the targets' names in order.
func Names() []string {
	var names []string
	for _, t := range All() {
		names = append(names, t.Name)
	}
	return names
}

// Find returns the target of that name.
func Find(name string) (Target, bool) {
	for _, t := range all {
		if t.Name == name {
			return t, true
		}
	}
	return Target{}, false
}
