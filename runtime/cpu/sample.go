package cpu

import (
	"math"
	"math/rand/v2"
	"slices"
)

// Argmax is the place of the largest value, the first of equals; -1 if there is none.
func Argmax(x []float32) int32 {
	best := int32(-1)
	for i, v := range x {
		if best < 0 || v > x[best] {
			best = int32(i)
		}
	}
	return best
}

// ArgmaxRows finds the largest value of each row of v and its place, the first of equals.
func ArgmaxRows(values []float32, places []int32, x []float32, v int) {
	for i := range values {
		row := x[i*v : (i+1)*v]
		places[i] = Argmax(row)
		values[i] = row[places[i]]
	}
}

// Pick finds, for each row of n parts of so many elements, the place of the largest of what ArgmaxRows found in them, of
// equals in the first.
func Pick(tokens []int32, values []float32, places []int32, n, part int) {
	for i := range tokens {
		best := Argmax(values[i*n : (i+1)*n])
		tokens[i] = best*int32(part) + places[i*n+int(best)]
	}
}

// Sample draws a token from softmax(logits/temperature), restricted to the smallest set of likeliest
// tokens whose probability reaches topP. A temperature of 0 or below is Argmax; topP of 1 or above, or of 0
// or below, means no restriction. The draw uses one number of rng.
func (c *Ctx) Sample(logits []float32, temperature, topP float64, rng *rand.Rand) int32 {
	best := Argmax(logits)
	if temperature <= 0 || best < 0 {
		return best
	}
	keys := grow(&c.buf.keys, len(logits))
	var total float64
	weight := func(key uint64) float64 {
		return math.Exp(float64(logits[keyIndex(key)]-logits[best]) / temperature)
	}
	for i, v := range logits {
		keys[i] = rankKey(v, i)
		total += weight(keys[i])
	}
	slices.Sort(keys)
	slices.Reverse(keys)
	if topP > 0 && topP < 1 {
		var sum float64
		for i, key := range keys {
			sum += weight(key)
			if sum >= topP*total {
				keys, total = keys[:i+1], sum
				break
			}
		}
	}
	rest := rng.Float64() * total
	for _, key := range keys {
		if rest -= weight(key); rest < 0 {
			return keyIndex(key)
		}
	}
	return keyIndex(keys[len(keys)-1])
}
