package cpu

import (
	"syscall"
	"testing"
	"unsafe"

	"github.com/stretchr/testify/require"
)

// guarded returns memory for n values that ends where an inaccessible page begins: a kernel that touches
// anything beyond stops the test program. It also starts right after an inaccessible page if n values fill
// whole pages.
func guarded[T any](t *testing.T, n int) []T {
	t.Helper()
	var v T
	page, size := syscall.Getpagesize(), n*int(unsafe.Sizeof(v))
	pages := ceilDiv(size, page)
	mem, err := syscall.Mmap(-1, 0, (pages+2)*page, syscall.PROT_READ|syscall.PROT_WRITE,
		syscall.MAP_ANON|syscall.MAP_PRIVATE)
	require.NoError(t, err)
	require.NoError(t, syscall.Mprotect(mem[:page], syscall.PROT_NONE))
	require.NoError(t, syscall.Mprotect(mem[(pages+1)*page:], syscall.PROT_NONE))
	t.Cleanup(func() { _ = syscall.Munmap(mem) })
	return unsafe.Slice((*T)(unsafe.Pointer(&mem[(pages+1)*page-size])), n)
}

// guardedCopy is a copy of s in guarded memory.
func guardedCopy[T any](t *testing.T, s []T) []T {
	if len(s) == 0 {
		return nil
	}
	out := guarded[T](t, len(s))
	copy(out, s)
	return out
}

func TestProductsStayInsideTheirSlices(t *testing.T) {
	eachImplementation(t, func(t *testing.T, c *Ctx) {
		r := newRand(50)
		for _, enc := range encodings {
			for _, k := range []int{32, 128, 160, 416, 4096} {
				m := randomMatrix(t, r, enc, 5, k)
				m.Data, m.Scale = guardedCopy(t, m.Data), guardedCopy(t, m.Scale)
				x, wide := guardedCopy(t, randomBF16(r, 4*k)), guarded[float32](t, k)
				var out [16]float32
				for vectors := 1; vectors <= 4; vectors++ {
					c.Pool.own.scales.w = nil
					at := []int{3 * k, 2 * k, k, 0}[:vectors]
					active.rows(&out, m, 1, 4, x, at, &c.Pool.own)
					active.rows(&out, m, 4, 1, x, at, &c.Pool.own)
				}
				active.widen(wide, m, 4, 0, k)
			}
		}
	})
}

func TestFloatKernelsStayInsideTheirSlices(t *testing.T) {
	eachImplementation(t, func(t *testing.T, _ *Ctx) {
		r := newRand(51)
		for _, n := range []int{1, 8, 15, 16, 31, 32, 33, 48, 100, 1024} {
			a, b := guardedCopy(t, random32(r, 4*n)), guardedCopy(t, random32(r, 4*n))
			at := [4]int{3 * n, 2 * n, n, 0}
			var out [16]float32
			active.tile(&out, a, &at, b, &at, n)
			var wide [16]float64
			active.dtile(&wide, a, &at, b, &at, n)
			acc, p := guardedCopy(t, random64(r, 4*n)), guardedCopy(t, random64(r, 4*3))
			for rows := 1; rows <= 4; rows++ {
				active.mix(acc[(4-rows)*n:], n, p[(4-rows)*3:], 3, rows, b[n:], 3, n)
			}
			active.rate(a[:n], b[3*n:], 0.5)
			active.rate(a[3*n:], b[3*n:], 0.5)
			active.half(a[3*n:], guarded[uint16](t, n))
			if n%scoreStep == 0 {
				active.weigh(acc[3*n:], 1, active.peak(acc[3*n:]))
			}
		}
	})
}
