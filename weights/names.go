package weights

import (
	"strconv"
	"strings"
)

// Names of the official checkpoint that have a meaning beyond what the model's source says of them.
const (
	mtpPrefix   = "mtp."
	layerPrefix = "layers."
	embedName   = "embed.weight"

	// apeName is the compressor's table of position biases, [ratio, 2·head_dim] for ratio 4 and
	// [ratio, head_dim] for ratio 128: what a layer compresses by can be read off its shape.
	apeName = "attn.compressor.ape"
	// hashTable holds for each token id the experts that it goes to.
	hashTable = "tid2eid"
	// gateBias steers the choice of experts in layers without such a table.
	gateBias = "gate.bias"
)

// isGateChoice reports whether a tensor is one of the two of which a layer has either.
func isGateChoice(name string) bool {
	return strings.HasSuffix(name, hashTable) || strings.HasSuffix(name, gateBias)
}

const hashHelp = "compare num_hash_layers in config.json with these files: " +
	"the first layers choose experts by a table (tid2eid), the others by score (gate.bias)"

// Class groups tensors as a person thinks of them; reports add up by class.
type Class string

// The classes, in the order in which reports list them. Everything under "mtp." is of class MTP.
const (
	Embedding    Class = "embedding"
	Attention    Class = "attention"
	Compressor   Class = "compressor"
	Indexer      Class = "indexer"
	Routed       Class = "routed experts"
	Shared       Class = "shared experts"
	Gate         Class = "gate"
	Norms        Class = "norms"
	Hyper        Class = "hyper-connections"
	Head         Class = "head"
	MTP          Class = "MTP"
	Unclassified Class = "other"
)

// Classes lists all classes in the order of reports.
var Classes = []Class{
	Embedding, Attention, Compressor, Indexer, Routed, Shared, Gate, Norms, Hyper, Head, MTP, Unclassified,
}

// classParts says by which component of its name a tensor is known; the first match counts, so that the
// indexer's own compressor is the indexer's, and a norm inside a compressor the compressor's.
var classParts = []struct {
	class Class
	match func(part string) bool
}{
	{Indexer, is("indexer")},
	{Compressor, is("compressor")},
	{Routed, is("experts")},
	{Shared, is("shared_experts")},
	{Gate, is("gate")},
	{Norms, func(p string) bool { return strings.HasSuffix(p, "norm") }},
	{Hyper, func(p string) bool { return strings.HasPrefix(p, "hc_") }},
	{Attention, is("attn")},
	{Embedding, is("embed")},
	{Head, is("head")},
}

func is(want string) func(string) bool { return func(part string) bool { return part == want } }

// ClassOf is the class of a tensor of that name.
func ClassOf(name string) Class {
	if strings.HasPrefix(name, mtpPrefix) {
		return MTP
	}
	return moduleClass(name)
}

// moduleClass is ClassOf without regard to where the module stands.
func moduleClass(name string) Class {
	parts := strings.Split(name, ".")
	for _, c := range classParts {
		for _, p := range parts {
			if c.match(p) {
				return c.class
			}
		}
	}
	return Unclassified
}

// instanceOf is the part of a tensor's name that says which layer or block it is in ("layers.2", "mtp.0"),
// or "" for tensors of the whole model.
func instanceOf(name string) string {
	kind, rest, ok := strings.Cut(name, ".")
	if !ok || kind != "layers" && kind != "mtp" {
		return ""
	}
	number, _, ok := strings.Cut(rest, ".")
	if _, err := strconv.ParseUint(number, 10, 30); err != nil || !ok {
		return ""
	}
	return kind + "." + number
}

// pattern replaces the numbers in a name by '*': tensors with one pattern are the same thing elsewhere.
// index is the last number, -1 for none.
func pattern(name string) (text string, index int) {
	parts := strings.Split(name, ".")
	index = -1
	for i, p := range parts {
		if n, err := strconv.ParseUint(p, 10, 31); err == nil {
			parts[i], index = "*", int(n)
		}
	}
	return strings.Join(parts, "."), index
}
