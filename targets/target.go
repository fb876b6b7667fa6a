// Package targets describes machines as data: what they can do and how much, each field with its source. Code
// elsewhere asks for traits and never for a vendor's name; what is not known stays unknown.
//
// The package knows nothing of models, graphs or code generation.
package targets

import (
	"sort"
)

// Target is one machine that a build is made for.
type Target struct {
	Name string // as --target takes it
	Doc  string // one sentence for people
	Tier Tier
	Host Host
}

// Tier says how far a target is proved, honestly, for users to see.
type Tier string

// The support tiers, from the strongest to the weakest.
const (
	Verified    Tier = "verified on hardware"
	Compiled    Tier = "compiled with the vendor's public toolchain"
	Interpreted Tier = "interpreted and checked against documented rules"
)

// Host is what the processor that runs the generated Go program offers.
type Host struct {
	// Executes says that the program's own kernels compute the model, without a device.
	Executes bool
}

// CPU computes the whole model in the generated Go program.
var CPU = Target{
	Name: "cpu",
	Doc:  "the generated Go program on its own: float32 with the official roundings, weights as stored",
	Tier: Verified, // the test suite compiles and runs it
	Host: Host{Executes: true},
}

// all lists every target.
var all = []Target{CPU}

// All returns every target by name.
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
