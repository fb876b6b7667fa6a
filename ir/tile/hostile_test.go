package tile

import (
	"flag"
	"math/rand"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

var edits = flag.Int("edits", 300, "edited texts to read")

var words = regexp.MustCompile(`%?[A-Za-z0-9_.]+|[^ \n]`)

// edit swaps, repeats or removes a line, or puts a word in the place of another of its kind, so that much of what
// comes out still reads as a program.
func edit(rng *rand.Rand, text string) string {
	lines := strings.Split(text, "\n")
	i := rng.Intn(len(lines) - 1)
	switch rng.Intn(12) {
	case 0:
		lines[i], lines[i+1] = lines[i+1], lines[i]
	case 1:
		lines[i] = ""
	case 2:
		lines[i] += "\n" + lines[rng.Intn(len(lines))]
	default:
		at := words.FindAllStringIndex(lines[i], -1)
		if len(at) == 0 {
			break
		}
		k := at[rng.Intn(len(at))]
		old := lines[i][k[0]:k[1]]
		for range 50 {
			if b := words.FindAllString(lines[rng.Intn(i+1)], -1); len(b) > 0 { // from above: what is defined
				if word := b[rng.Intn(len(b))]; class(word) == class(old) && word != old {
					lines[i] = lines[i][:k[0]] + word + lines[i][k[1]:]
					break
				}
			}
		}
	}
	return strings.Join(lines, "\n")
}

func class(word string) int {
	switch c := word[0]; {
	case c == '%' && len(word) > 1:
		return 1
	case isDigit(c):
		return 2
	case isLetter(c) && codes[word] > 0:
		return 3
	case isLetter(c):
		return 4
	}
	return int(word[0])
}

// TestEditedTextsNeverPanic reads texts that are nearly programs. What reads prints as it reads; what verifies
// still does after Simplify, and runs, or faults, the same.
func TestEditedTextsNeverPanic(t *testing.T) {
	rng := rand.New(rand.NewSource(1))
	sources := []string{small, rowNorm(128).String()}
	for seed := range int64(20) {
		sources = append(sources, randomProgram(seed).String())
	}
	parsed, verified, ran := 0, 0, 0
	for range *edits {
		text := sources[rng.Intn(len(sources))]
		for range 1 + rng.Intn(3) {
			text = edit(rng, text)
		}
		p, err := Parse(text, "edited.tile")
		if err != nil {
			continue
		}
		parsed++
		once := p.String()
		again, err := Parse(once, "edited.tile")
		require.NoError(t, err, once)
		require.Equal(t, once, again.String())
		if Verify(p) != nil {
			continue
		}
		verified++
		if runEdited(t, p, again) {
			ran++
		}
	}
	require.NotZero(t, verified)
	require.NotZero(t, ran)
	t.Logf("%d texts: %d read, %d verified, %d ran", *edits, parsed, verified, ran)
}

// runEdited compares a program with what Simplify makes of it.
func runEdited(t *testing.T, p, again *Program) bool {
	t.Helper()
	text := again.String()
	run := func(p *Program) (map[string]Arg, error) {
		args := map[string]Arg{}
		for _, q := range p.Params {
			args[q.Name] = Arg{Scalar: 2}
		}
		for _, q := range p.Params {
			n := 1
			for _, s := range q.Shape {
				d, _ := EvalExpr(s, p.env(args))
				n *= min(max(d, 0), 1<<12)
			}
			if q.Pointer && n <= 1<<20 {
				args[q.Name] = Arg{Data: make([]byte, n*q.DType.Bytes())}
			}
		}
		return args, Interpret(p, args, Options{Seed: 1})
	}
	if n, err := EvalExpr(p.Grid, p.env(map[string]Arg{"s": {Scalar: 2}})); err != nil || n > 64 {
		return false
	}
	want, err := run(again)
	Simplify(p)
	require.NoError(t, Verify(p), text)
	got, err2 := run(p)
	if err != nil { // what faults may be gone afterwards
		return false
	}
	require.NoError(t, err2, text)
	require.Equal(t, want, got, text)
	return true
}
