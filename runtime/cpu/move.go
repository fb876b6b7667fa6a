package cpu

// Last copies the last of s rows of each batch row: x is [batch,s,width], dst [batch,width].
func Last(dst, x []float32, batch, s, width int) {
	need("Last", "x", len(x), batch*s*width)
	need("Last", "dst", len(dst), batch*width)
	for b := range batch {
		copy(dst[b*width:(b+1)*width], x[((b+1)*s-1)*width:])
	}
}

// Take copies the first n of rows rows of each batch row: x is [batch,rows,width], dst [batch,n,width].
func Take(dst, x []float32, batch, rows, n, width int) {
	need("Take", "x", len(x), batch*rows*width)
	need("Take", "dst", len(dst), batch*n*width)
	for b := range batch {
		copy(dst[b*n*width:(b+1)*n*width], x[b*rows*width:])
	}
}

// Concat joins two arrays along an axis: for each of outer rows na elements of a, then nb of b.
func Concat[T any](dst, a, b []T, outer, na, nb int) {
	need("Concat", "a", len(a), outer*na)
	need("Concat", "b", len(b), outer*nb)
	need("Concat", "dst", len(dst), outer*(na+nb))
	for o := range outer {
		row := dst[o*(na+nb) : (o+1)*(na+nb)]
		copy(row, a[o*na:(o+1)*na])
		copy(row[na:], b[o*nb:(o+1)*nb])
	}
}
