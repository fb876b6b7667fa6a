package tile

// reduce compiles Sum, Max and Min: the upper half of the axis is combined with the lower one until one is left.
func (m *machine) reduce(op *Op) func() {
	from := op.Args[0].Sizes()
	outer, n, inner := length(from[:op.Axis]), from[op.Axis], length(from[op.Axis+1:])
	x, to := m.vals[op.Args[0]], m.place(op.Results[0])
	work := m.take(to.key.kind, n*inner, 1)
	m.drop(work)
	switch to.key.kind {
	case kindF:
		f := map[Code]func(to, x, y []float32){Sum: sumRun[float32](Add), Max: floatRun(Maximum), Min: floatRun(Minimum)}
		return halve(to.f, x.f, work.f, outer, n, inner, f[op.Code])
	case kindI:
		f := map[Code]Code{Sum: Add, Max: Maximum, Min: Minimum}
		return halve(to.i, x.i, work.i, outer, n, inner, intRun[int32](f[op.Code], 32))
	}
	f := map[Code]Code{Sum: Add, Max: Maximum, Min: Minimum}
	return halve(to.l, x.l, work.l, outer, n, inner, intRun[int64](f[op.Code], 64))
}

func halve[T elem](to, x, work []T, outer, n, inner int, f func(to, x, y []T)) func() {
	return func() {
		for o := range outer {
			copy(work, x[o*n*inner:(o+1)*n*inner])
			for k := n; k > 1; {
				half := (k + 1) / 2
				f(work[:(k-half)*inner], work, work[half*inner:])
				k = half
			}
			copy(to[o*inner:(o+1)*inner], work)
		}
	}
}

// dot compiles acc + x·y. Products of narrow formats are exact in float32, those of f32 in float64.
func (m *machine) dot(op *Op) func() {
	x, y, acc := m.vals[op.Args[0]], m.vals[op.Args[1]], m.vals[op.Args[2]]
	to := m.place(op.Results[0])
	rows, depth, cols := op.Args[0].Shape[0].Size, op.Args[0].Shape[1].Size, op.Args[1].Shape[1].Size
	line := narrowLine
	if op.Args[0].DType == F32 || op.Args[1].DType == F32 {
		line = wideLine
	}
	return func() {
		copy(to.f, acc.f)
		for i := range rows {
			line(to.f[i*cols:(i+1)*cols], x.f[i*depth:(i+1)*depth], y.f)
		}
	}
}

// narrowLine adds a row times a matrix to c, four rows of the matrix at a time but each sum in order. The
// conversions keep compilers from fusing a product with a sum.
func narrowLine(c, a, b []float32) {
	n, k := len(c), 0
	for ; k+4 <= len(a); k += 4 {
		a0, a1, a2, a3 := a[k], a[k+1], a[k+2], a[k+3]
		b0, b1, b2, b3 := b[k*n:][:n], b[(k+1)*n:][:n], b[(k+2)*n:][:n], b[(k+3)*n:][:n]
		for j := range c {
			s := c[j] + float32(a0*b0[j])
			s += float32(a1 * b1[j])
			s += float32(a2 * b2[j])
			c[j] = s + float32(a3*b3[j])
		}
	}
	for ; k < len(a); k++ {
		a0, b0 := a[k], b[k*n:][:n]
		for j := range c {
			c[j] += float32(a0 * b0[j])
		}
	}
}

func wideLine(c, a, b []float32) {
	n := len(c)
	for k, v := range a {
		a0, row := float64(v), b[k*n:][:n]
		for j := range c {
			c[j] = float32(float64(c[j]) + float64(a0*float64(row[j])))
		}
	}
}
