package main

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"flagc/passes"
	"flagc/weights"
)

// split lists the flags that say how weights are split, where they were given: a converted checkpoint keeps them, so
// that its plan can be made again.
func (f *modelFlags) split() map[string]string {
	given := map[string]string{"keep-fp4": strings.Join(f.keepFP4, ","), "ogroups": f.ogroups, "shared-expert": f.shared, "index-heads": f.index,
		"batch": number(f.batch, passes.DefaultBatch), "context": number(f.context, passes.DefaultContext)}
	if f.official {
		given["official-layout"] = "true"
	}
	for name, value := range given {
		if value == "" {
			delete(given, name)
		}
	}
	return given
}

// splitFlags are the flags that give a model's weights the same splits for any target: what was given, and, for files of
// ranks, what the cost model of this one chose. The passes have run.
func (m *model) splitFlags(layout weights.FileLayout) map[string]string {
	flags := maps.Clone(m.split)
	if layout != weights.Ranks || m.opts.TP < 2 {
		return flags
	}
	choice := map[bool]passes.Choice{true: passes.Split, false: passes.Whole}
	flags["shared-expert"], flags["index-heads"] = string(choice[m.layout.Pairs]), string(choice[m.layout.Scores])
	if m.layout.Groups != "" {
		flags["ogroups"] = string(m.layout.Groups)
	}
	return flags
}

// number is "" for a default, which 0 means as well.
func number(n, usual int) string {
	if n == 0 || n == usual {
		return ""
	}
	return strconv.Itoa(n)
}

// setStored takes the flags that a converted checkpoint was made with. What is no number there is none here.
func (f *modelFlags) setStored(about *weights.About) {
	f.target, f.precision, f.tp = about.Target, about.Precision, about.TP
	f.ogroups, f.shared, f.index = about.Flags["ogroups"], about.Flags["shared-expert"], about.Flags["index-heads"]
	f.official = about.Flags["official-layout"] == "true"
	if kept := about.Flags["keep-fp4"]; kept != "" {
		f.keepFP4 = strings.Split(kept, ",")
	}
	f.batch, _ = strconv.Atoi(about.Flags["batch"])
	f.context, _ = strconv.Atoi(about.Flags["context"])
}

// storedFlags are the flags with which a converted checkpoint is read as it was made.
func storedFlags(about *weights.About) []string {
	out := []string{fmt.Sprintf("--tp %d", about.TP), "--precision " + about.Precision}
	names := make([]string, 0, len(about.Flags))
	for name := range about.Flags {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		out = append(out, fmt.Sprintf("--%s=%s", name, about.Flags[name]))
	}
	return append(out, "--target "+about.Target)
}

// convertFlags are the flags with which the weights for a model's build are converted.
func (m *model) convertFlags() string {
	about := weights.About{Target: m.opts.Target.Name, Precision: string(m.opts.Precision), TP: m.opts.TP, Flags: m.splitFlags(weights.Ranks)}
	return strings.Join(storedFlags(&about), " ")
}
