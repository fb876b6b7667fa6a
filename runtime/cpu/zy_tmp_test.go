package cpu

import (
	"fmt"
	"testing"
	"time"
)

func TestZY(t *testing.T) {
	r := newRand(1)
	best := func(f func()) float64 {
		b := time.Hour
		for range 300 {
			s := time.Now()
			for range 20 {
				f()
			}
			b = min(b, time.Since(s))
		}
		return float64(b.Nanoseconds()) / 20
	}
	c := NewCtx(1)
	defer c.Close()
	for _, enc := range encodings {
		const k = 4096
		m := randomMatrix(t, r, enc, 8, k)
		for i := range m.Data {
			m.Data[i] &= 0x3f
			m.Data[i] |= 0x10
		}
		x := randomBF16(r, 4*(k+32))
		for _, v := range []int{1, 2, 3, 4} {
			line := fmt.Sprintf("%v v=%d ", enc, v)
			for _, kk := range implementations[1:] {
				at := []int{0, (k + 32), 2 * (k + 32), 3 * (k + 32)}[:v]
				var out [16]float32
				ns := best(func() { c.workers[0].scales.w = nil; kk.rows(&out, m, 0, 4, x, at, &c.workers[0]) })
				line += fmt.Sprintf(" %s %.0fns %.1fGB/s ", kk.name, ns, float64(4*m.pitch())/ns)
			}
			fmt.Println(line)
		}
		wide := make([]float32, k)
		line := fmt.Sprintf("%v widen ", enc)
		for _, kk := range implementations[1:] {
			ns := best(func() { kk.widen(wide, m, 3, 0, 1024) })
			line += fmt.Sprintf(" %s %.0fns %.2f elem/ns ", kk.name, ns, 1024/ns)
		}
		fmt.Println(line)
	}
	a := random32(r, 4*1040)
	b := random32(r, 4*1024)
	at := [4]int{0, 1040, 2080, 3120}
	bt := [4]int{0, 1024, 2048, 3072}
	var out [16]float32
	acc := random32(r, 4*512)
	p := random32(r, 4*64)
	v := random32(r, 64*512)
	for _, kk := range implementations[1:] {
		ns := best(func() { kk.tile(&out, a, &at, b, &bt, 1024) })
		ns5 := best(func() { kk.tile(&out, a, &at, b, &bt, 128) })
		nsm := best(func() { kk.mix(acc, 512, p, 64, 4, v, 64, 512) })
		fmt.Printf("%s tile %.1f GF tile128 %.1f GF mix %.1f GF\n", kk.name, 2*16*1024/ns, 2*16*128/ns5, 2*4*64*512/nsm)
	}
}
