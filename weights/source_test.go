package weights

import (
	"encoding/binary"
	"math"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"flagc/ir"
	"flagc/runtime/safetensors"
)

// goldenDir holds small checkpoints in the official format that this package did not write.
const goldenDir = "../../shared/golden"

// eachCheckpoint runs a test on a made checkpoint, and on the golden ones where they are at hand.
func eachCheckpoint(t *testing.T, test func(t *testing.T, m *ir.Module, c *safetensors.Checkpoint)) {
	t.Run("tiny", func(t *testing.T) { test(t, tinyModule(t), open(t, makeTiny(t))) })
	for _, name := range []string{"nano-flash", "nano-pro"} {
		t.Run(name, func(t *testing.T) {
			dir := filepath.Join(goldenDir, name, "checkpoint")
			if _, err := os.Stat(dir); err != nil {
				t.Skipf("the golden checkpoint %s is not beside the repository", name)
			}
			m, _ := fileModule(t, filepath.Join(dir, configName))
			test(t, m, open(t, dir))
		})
	}
}

// TestRoundTrip: what is made, or what others made, passes the check and widens to what an independent,
// element by element reading of the bit formats gives (spec §3), bit for bit.
func TestRoundTrip(t *testing.T) {
	eachCheckpoint(t, func(t *testing.T, m *ir.Module, c *safetensors.Checkpoint) {
		require.NoError(t, Check(m, c, CheckOptions{Values: true}))
		s := NewSource(m, c)
		for _, set := range m.Params {
			for _, instance := range set.Instances {
				for _, w := range set.Weights {
					compareWeight(t, s, c, instance, w)
				}
			}
		}
	})
}

func compareWeight(t *testing.T, s *Source, c *safetensors.Checkpoint, instance string, w *ir.Weight) {
	got, err := s.Tensor(instance, w)
	require.NoError(t, err)
	require.Equal(t, w.Value.Type.Elem, got.Elem)
	shape, err := w.Value.Type.Shape(nil)
	require.NoError(t, err)
	require.Equal(t, shape, got.Shape)
	name := ir.Join(instance, w.Tensor)
	if w.Value.Type.Elem.DType.IsInt() {
		found, _ := c.Tensor(name)
		require.Len(t, got.I, got.Len())
		for i, v := range got.I {
			require.Equal(t, int64(v), int64(binary.LittleEndian.Uint64(found.Data[8*i:])), name)
		}
		return
	}
	if !w.IsMany() {
		require.Nil(t, got.Lazy)
		requireSame(t, slowWiden(t, c, name), got.F, name)
		require.Len(t, got.F, got.Len())
		return
	}
	require.Nil(t, got.F)
	for i := range w.Count() {
		one := replaceStar(name, i)
		requireSame(t, slowWiden(t, c, one), got.Slice(i), one)
		require.Len(t, got.Slice(i), got.Len()/w.Count())
	}
}

func requireSame(t *testing.T, want, got []float64, name string) {
	require.Len(t, got, len(want), name)
	for i := range want {
		if math.Float64bits(want[i]) != math.Float64bits(got[i]) {
			require.Equal(t, want[i], got[i], "%s element %d", name, i)
		}
	}
}

// slowWiden reads a tensor and its scales from the definitions of the formats.
func slowWiden(t *testing.T, c *safetensors.Checkpoint, name string) []float64 {
	x, ok := c.Tensor(name)
	require.True(t, ok, name)
	scale, rows, cols := safetensors.Tensor{}, 128, 128
	switch x.DType {
	case "BF16":
		return each(len(x.Data)/2, func(i int) float64 {
			return float64(math.Float32frombits(uint32(x.Data[2*i])<<16 | uint32(x.Data[2*i+1])<<24))
		})
	case "F32":
		return each(len(x.Data)/4, func(i int) float64 {
			return float64(math.Float32frombits(binary.LittleEndian.Uint32(x.Data[4*i:])))
		})
	case "I8":
		rows, cols = 1, 32
	}
	scale, ok = c.Tensor(ScaleName(name))
	require.True(t, ok, name)
	width := x.Shape[1]
	if x.DType == "I8" {
		width *= 2
	}
	return each(x.Shape[0]*width, func(i int) float64 {
		r, k := i/width, i%width
		s := math.Ldexp(1, int(scale.Data[r/rows*scale.Shape[1]+k/cols])-127)
		if x.DType == "I8" {
			return slowE2M1(x.Data[i/2]>>(4*(i%2))&15) * s
		}
		return slowE4M3(x.Data[i]) * s
	})
}

func each(n int, f func(i int) float64) []float64 {
	out := make([]float64, n)
	for i := range out {
		out[i] = f(i)
	}
	return out
}

func slowE2M1(code byte) float64 {
	v := []float64{0, 0.5, 1, 1.5, 2, 3, 4, 6}[code&7]
	if code&8 != 0 {
		return -v
	}
	return v
}

func slowE4M3(code byte) float64 {
	exponent, fraction := int(code>>3&15), float64(code&7)/8
	v := math.Ldexp(1+fraction, exponent-7)
	if exponent == 0 {
		v = math.Ldexp(fraction, -6)
	}
	if code&0x80 != 0 {
		v = -v
	}
	return v
}

// TestSourceKeeps: the same tensor every time, also for callers that come at once, until it is released.
func TestSourceKeeps(t *testing.T) {
	m := tinyModule(t)
	s := NewSource(m, open(t, makeTiny(t)))
	set := m.Params[0]
	w := set.Weight("ffn.experts.w1")
	require.True(t, w.IsMany())
	const callers = 8
	got := make([]*ir.Tensor, callers)
	first := make([]*float64, callers)
	var wg sync.WaitGroup
	for i := range callers {
		wg.Go(func() {
			tensor, err := s.Tensor(set.Instances[0], w)
			if err == nil {
				got[i], first[i] = tensor, &tensor.Slice(1)[0]
			}
		})
	}
	wg.Wait()
	for i := range callers {
		require.NotNil(t, got[i])
		require.Same(t, got[0], got[i])
		require.Same(t, first[0], first[i])
	}
	s.Release(set.Instances[0])
	again, err := s.Tensor(set.Instances[0], w)
	require.NoError(t, err)
	require.NotSame(t, got[0], again)
	require.Equal(t, got[0].Slice(2), again.Slice(2))
}

func TestSourceErrors(t *testing.T) {
	m := tinyModule(t)
	c := open(t, makeTiny(t))
	set := m.Params[0]
	_, err := NewSource(m, c).Tensor("layers.99", set.Weights[0])
	require.ErrorContains(t, err, `has no instance at "layers.99"`)

	other := parse(t, `module m from "m"
params p {
  weight a: bf16[r=3,c=4] from "absent"
  weight b: bf16[r=3,c=4] from "embed.weight"
  weight c: fp4<1x32>[r=3,c=5] from "embed.weight"
}`)
	s := NewSource(other, c)
	for name, want := range map[string]string{
		"a": "tensor absent is missing", "b": "expected BF16 [3 4], found BF16 [48 160]",
		"c": "rows have an even length",
	} {
		_, err := s.Tensor("", other.Params[0].Weight(name))
		require.ErrorContains(t, err, want)
	}
}

// TestWidenEveryCode runs all codes under several scales, NaN included.
func TestWidenEveryCode(t *testing.T) {
	codes := make([]byte, 256)
	for i := range codes {
		codes[i] = byte(i)
	}
	fp8 := safetensors.Tensor{DType: "F8_E4M3", Shape: []int{1, 256}, Data: codes}
	fp4 := safetensors.Tensor{DType: "I8", Shape: []int{1, 256}, Data: codes}
	for _, b := range []byte{0, 1, 127, 254, 255} {
		s := math.Ldexp(1, int(b)-127)
		if b == 255 {
			s = math.NaN()
		}
		wide := widen(ir.Quantised(ir.FP8, 128, 128), []safetensors.Tensor{fp8, e8m0(1, 2, b)})
		for i, x := range wide {
			if want := slowE4M3(byte(i)) * s; i&0x7F != 0x7F && b != 255 {
				require.Equal(t, math.Float64bits(want), math.Float64bits(x), "code %02x scale %d", i, b)
			} else {
				require.True(t, math.IsNaN(x))
			}
		}
		wide = widen(ir.Quantised(ir.FP4, 1, 32), []safetensors.Tensor{fp4, e8m0(1, 16, b)})
		for i, x := range wide {
			if want := slowE2M1(byte(i/2)>>(4*(i%2))&15) * s; b != 255 {
				require.Equal(t, math.Float64bits(want), math.Float64bits(x), "code %d of byte %02x", i%2, i/2)
			} else {
				require.True(t, math.IsNaN(x))
			}
		}
	}
}

func e8m0(rows, cols int, b byte) safetensors.Tensor {
	data := make([]byte, rows*cols)
	for i := range data {
		data[i] = b
	}
	return safetensors.Tensor{DType: "F8_E8M0", Shape: []int{rows, cols}, Data: data}
}

func BenchmarkWiden(b *testing.B) {
	const rows, cols = 2048, 4096
	for name, c := range map[string]struct {
		elem  ir.Elem
		parts []safetensors.Tensor
	}{
		"fp4": {ir.Quantised(ir.FP4, 1, 32), []safetensors.Tensor{
			{DType: "I8", Shape: []int{rows, cols / 2}, Data: make([]byte, rows*cols/2)}, e8m0(rows, cols/32, 120)}},
		"fp8": {ir.Quantised(ir.FP8, 128, 128), []safetensors.Tensor{
			{DType: "F8_E4M3", Shape: []int{rows, cols}, Data: make([]byte, rows*cols)},
			e8m0(rows/128, cols/128, 120)}},
		"bf16": {ir.Plain(ir.BF16), []safetensors.Tensor{
			{DType: "BF16", Shape: []int{rows, cols}, Data: make([]byte, 2*rows*cols)}}},
	} {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				widen(c.elem, c.parts)
			}
			b.ReportMetric(float64(rows*cols)*float64(b.N)/b.Elapsed().Seconds()/1e6, "Melem/s")
		})
	}
}
