package triton

import (
	"fmt"
	"maps"

	"flagc/ir/tile"
	"flagc/targets"
)

// Violation is a rule of a target that a program breaks.
type Violation struct {
	Kernel  string
	Rule    string
	Found   string
	Limit   string // what the target takes
	Source  string // where that is known from, "unknown" if the limit is that of all targets
	Remedy  string // what to change
	More    int    // others of the same kind
	Warning bool   // right, but slow or not proved; the others fail a build
}

// Error names the kernel, the rule, what was found, the limit with its source, and what to change.
func (v Violation) Error() string {
	level := ""
	if v.Warning {
		level = "warning: "
	}
	more := ""
	if v.More > 0 {
		more = fmt.Sprintf(" and %d more", v.More)
	}
	return fmt.Sprintf("%skernel %s: %s: found %s%s; %s (%s); %s", level, v.Kernel, v.Rule, v.Found, more, v.Limit, v.Source,
		v.Remedy)
}

// Errors are the violations that fail a build.
func Errors(all []Violation) []Violation {
	var out []Violation
	for _, v := range all {
		if !v.Warning {
			out = append(out, v)
		}
	}
	return out
}

// unknown is the source of a limit that nobody states for the target: the strictest of all targets is taken.
const unknown = "unknown for this target: what every target keeps"

// rules is what is checked, in the order of the report. Of sorting, prefix sums, float64, unsigned integers, early
// returns, clusters, descriptors and float scalars nothing need be checked: tile programs have none of them.
var rules = []struct {
	name  string
	check func(*checker)
}{
	{"dot-type", (*checker).dotTypes},
	{"dot-tile", (*checker).dotTiles},
	{ruleOnChip, (*checker).onChip},
	{ruleCube, (*checker).cube},
	{"grid", (*checker).grid},
	{"index-width", (*checker).indexWidth},
	{"index-range", (*checker).indexRange},
	{"transpose", (*checker).transposes},
	{"broadcast-exp", (*checker).broadcastExps},
	{"divide", (*checker).divisions},
	{"gather", (*checker).gathers},
	{"atomics", (*checker).atomics},
	{"masked-other", (*checker).maskedOther},
	{"masked-address", (*checker).maskedAddress},
	{"repeated-address", (*checker).repeatedAddresses},
	{"masked-rows", (*checker).maskedRows},
	{"masks-in-loops", (*checker).masksInLoops},
	{"fp8-pointer", (*checker).fp8},
	{"byte-pointer", (*checker).bytePointers},
	{"lanes", (*checker).lanes},
	{"alignment", (*checker).alignment},
	{"reduction-lanes", (*checker).reductionLanes},
	{"reduction-axis", (*checker).reductionAxis},
	{"empty-store", (*checker).emptyStores},
	{"warps", (*checker).warps},
	{"stages", (*checker).stages},
}

// Check holds a well-formed program against every rule of a target. env gives scalar parameters their largest values;
// what it lacks is reported where a rule needs it. A host that runs no kernels has no rules.
//
// Traits that describe a defect, such as masked lanes that hold garbage, count as absent while nobody reports them;
// limits that are unknown count as the smallest of all targets.
func Check(p *tile.Program, t targets.Target, env map[string]int) []Violation {
	if t.Host.Executes {
		return nil
	}
	c := &checker{p: p, t: t, env: sizesIn(p, env), flow: newFlow(p)}
	for _, r := range rules {
		c.rule = r.name
		r.check(c)
	}
	return c.out
}

// sizesIn are the sizes that expressions of a program name: its scalar parameters and its constants.
func sizesIn(p *tile.Program, scalars map[string]int) map[string]int {
	all := map[string]int{}
	maps.Copy(all, scalars)
	for _, k := range p.Consts {
		all[k.Name] = k.Value
	}
	return all
}

// checker collects what one program breaks.
type checker struct {
	*flow
	p    *tile.Program
	t    targets.Target
	env  map[string]int
	rule string
	out  []Violation
}

// breaks reports a violation. Of several with one limit the first is told and the others are counted.
func (c *checker) breaks(source, limit, remedy, found string, args ...any) {
	c.add(Violation{Limit: limit, Source: source, Remedy: remedy}, found, args)
}

// warns reports what is right but better avoided.
func (c *checker) warns(source, limit, remedy, found string, args ...any) {
	c.add(Violation{Limit: limit, Source: source, Remedy: remedy, Warning: true}, found, args)
}

func (c *checker) add(v Violation, found string, args []any) {
	v.Kernel, v.Rule = c.p.Name, c.rule
	if v.Source == "" {
		v.Source = unknown
	}
	for i := range c.out {
		if o := &c.out[i]; o.Rule == v.Rule && o.Limit == v.Limit && o.Warning == v.Warning {
			o.More++
			return
		}
	}
	v.Found = fmt.Sprintf(found, args...)
	c.out = append(c.out, v)
}

// each visits the ops of some kinds that matter.
func (c *checker) each(f func(*tile.Op), codes ...tile.Code) {
	c.p.Body.Walk(func(op *tile.Op) {
		if !c.plan.sites[op].keep {
			return
		}
		for _, k := range codes {
			if op.Code == k {
				f(op)
			}
		}
	})
}

// line is an op as the program's text has it, made when it is printed.
type line struct {
	p  *tile.Program
	op *tile.Op
}

// String is the text in quotes.
func (l line) String() string { return fmt.Sprintf("%q", l.p.OpText(l.op)) }

func (c *checker) text(op *tile.Op) line { return line{c.p, op} }
