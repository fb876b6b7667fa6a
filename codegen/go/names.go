package gohost

import (
	"fmt"
	"go/token"
	"sort"
	"strconv"
	"strings"
	"unicode"
)

// initialisms are words that Go writes in capitals.
var initialisms = map[string]string{
	"csa": "CSA", "hca": "HCA", "swa": "SWA", "mtp": "MTP", "hc": "HC", "kv": "KV", "id": "ID", "ids": "IDs",
	"fp4": "FP4", "fp8": "FP8", "bf16": "BF16", "rms": "RMS", "moe": "MoE", "ffn": "FFN",
}

// camel turns "attn.kv_cache" into attnKVCache, or AttnKVCache if exported.
func camel(name string, exported bool) string {
	words := strings.FieldsFunc(name, func(r rune) bool { return !unicode.IsLetter(r) && !unicode.IsDigit(r) })
	var b strings.Builder
	for i, w := range words {
		upper := initialisms[strings.ToLower(w)]
		switch {
		case i == 0 && !exported:
			if upper == "" {
				upper = strings.ToLower(w[:1]) + w[1:]
			} else {
				upper = strings.ToLower(w)
			}
		case upper == "":
			upper = strings.ToUpper(w[:1]) + w[1:]
		}
		b.WriteString(upper)
	}
	out := b.String()
	if out == "" || unicode.IsDigit(rune(out[0])) {
		out = "v" + out
	}
	return out
}

// scope hands out identifiers that are legal and differ from each other.
type scope struct{ taken map[string]bool }

// newScope returns a scope in which the given names are taken.
func newScope(taken ...string) *scope {
	s := &scope{map[string]bool{}}
	for _, t := range taken {
		s.taken[t] = true
	}
	return s
}

// predeclared are Go's own names that generated code uses.
var predeclared = map[string]bool{"min": true, "max": true, "len": true, "copy": true, "range": true, "float32": true,
	"int32": true, "int": true, "append": true, "make": true, "string": true, "nil": true, "true": true, "false": true}

// name returns want, or want with a number if it cannot be had.
func (s *scope) name(want string) string {
	got := want
	for n := 2; s.taken[got] || token.IsKeyword(got) || predeclared[got]; n++ {
		got = want + strconv.Itoa(n)
	}
	s.taken[got] = true
	return got
}

// shorten gives each dotted path the shortest of its endings that no other path has. Equal paths stay equal.
func shorten(paths []string) map[string]string {
	endings := map[string]map[string]bool{}
	for _, p := range paths {
		for _, e := range endingsOf(p) {
			if endings[e] == nil {
				endings[e] = map[string]bool{}
			}
			endings[e][p] = true
		}
	}
	out := map[string]string{}
	for _, p := range paths {
		out[p] = p
		for _, e := range endingsOf(p) {
			if len(endings[e]) == 1 {
				out[p] = e
				break
			}
		}
	}
	return out
}

// endingsOf lists the dotted endings of a path, the shortest first.
func endingsOf(path string) []string {
	words := strings.Split(path, ".")
	var out []string
	for i := len(words) - 1; i >= 0; i-- {
		out = append(out, strings.Join(words[i:], "."))
	}
	return out
}

// base strips the version that makes a value's name unique: "attn.kv.1" is a later attn.kv.
func base(name string) string {
	i := strings.LastIndexByte(name, '.')
	if i < 0 {
		return name
	}
	if _, err := strconv.Atoi(name[i+1:]); err != nil {
		return name
	}
	return name[:i]
}

// places lists instances, those in the middle of a long row left out.
func places(instances []string) string {
	const most = 4
	if n := len(instances); n > most {
		return fmt.Sprintf("%s, %s, … %s (%d)", instances[0], instances[1], instances[n-1], n)
	}
	return strings.Join(instances, ", ")
}

// sortedKeys are a map's keys in order.
func sortedKeys[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	sort.Strings(keys)
	return keys
}
