package targets

import (
	"fmt"
	"slices"
	"strings"
)

// Policy decides, per class of weight, what it is stored as and what its products compute in.
type Policy string

// The precision policies.
const (
	PolicyNative Policy = "native" // experts and linears as the checkpoint stores them: FP4 and FP8
	PolicyFP8    Policy = "fp8"    // experts recast to FP8 where that is exact
	PolicyW4A8   Policy = "w4a8"   // experts stay FP4 in memory and widen to FP8 in the kernel
	PolicyBF16   Policy = "bf16"   // everything dequantised to BF16
	PolicyW4A16  Policy = "w4a16"  // experts stay FP4 in memory and widen to BF16 in the kernel
)

// Policies lists every policy, the one with the fewest bytes of arithmetic first.
func Policies() []Policy {
	return []Policy{PolicyNative, PolicyFP8, PolicyW4A8, PolicyBF16, PolicyW4A16}
}

func listed(policies []Policy) string {
	names := make([]string, len(policies))
	for i, p := range policies {
		names[i] = string(p)
	}
	return strings.Join(names, ", ")
}

// operand is a type that a policy multiplies in.
type operand struct {
	name string
	dot  func(Dot) Known[Support]
}

var (
	fp4  = operand{"FP4", func(d Dot) Known[Support] { return d.FP4 }}
	fp8  = operand{"FP8", func(d Dot) Known[Support] { return d.FP8 }}
	bf16 = operand{"BF16", func(d Dot) Known[Support] { return d.BF16 }}
)

// needs is the products that a policy requires of the machine's own units.
var needs = map[Policy][]operand{
	PolicyNative: {fp4, fp8},
	PolicyFP8:    {fp8},
	PolicyW4A8:   {fp8},
	PolicyBF16:   {bf16},
	PolicyW4A16:  {bf16},
}

// QuantisesActivations reports whether products see quantised activations, as they do in the official code on the
// checkpoint as it is published. The other policies compute what it does on weights that were widened to BF16.
func (p Policy) QuantisesActivations() bool {
	return slices.ContainsFunc(needs[p], func(o operand) bool { return o.name == fp8.name })
}

// Allows returns nil if the target computes the policy's products natively. A host that executes the model
// itself multiplies in float32, which holds every stored type, so it takes them all.
func (t Target) Allows(p Policy) error {
	operands, ok := needs[p]
	if !ok {
		return fmt.Errorf("unknown precision policy %q: there are %s", p, listed(Policies()))
	}
	if t.Host.Executes {
		return nil
	}
	for _, o := range operands {
		support := o.dot(t.Dot)
		if support.Is(Native) {
			continue
		}
		return fmt.Errorf("target %s cannot compute the policy %s: its %s products are %s; %s is its default",
			t.Name, p, o.name, support.Or("not known to be native"), t.Policy)
	}
	return nil
}
