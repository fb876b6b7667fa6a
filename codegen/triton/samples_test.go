package triton

import "flagc/ir/tile"

// samples are programs that together use every op and every form of text.
var samples = map[string]func() *tile.Program{
	"linear_bf16":      linearBF16,
	"sparse_attention": sparseAttention,
	"act_quant":        actQuant,
	"turns":            turns,
	"sections":         sections,
	"widen_fp4":        widenFP4,
	"odds":             odds,
	"search":           search,
}

func linearBF16() *tile.Program {
	b := tile.NewBuilder("linear_bf16")
	p := b.Program
	p.Doc = "y = x·wᵀ, summed in float32.\n\nOne program: BLOCK_M rows of x by BLOCK_N rows of w."
	p.Source = "deepseek_v4.flag:140"
	p.Grid = "(m + BLOCK_M - 1) // BLOCK_M * (N // BLOCK_N)"
	p.Bytes, p.Flops = "2 * (m * K + N * K + m * N)", "2 * m * N * K"
	p.Launch = tile.Launch{Warps: 4, Stages: 3}
	x := b.Pointer("x_ptr", tile.BF16, tile.In, "the activations", "m", "K")
	w := b.Pointer("w_ptr", tile.BF16, tile.In, "the weight, one row per output", "N", "K")
	y := b.Pointer("y_ptr", tile.BF16, tile.Out, "", "m", "N")
	m := b.Scalar("m", "tokens")
	n := b.Const("N", 512, "outputs")
	k := b.Const("K", 256, "inputs")
	bm, bn := b.Const("BLOCK_M", 16, "rows of one program"), b.Const("BLOCK_N", 64, "outputs of one program")
	bk := b.Const("BLOCK_K", 64, "inputs of one step")
	pid := b.ProgramID().Named("pid")
	blocks := b.Div(b.IntOf(n), b.IntOf(bn))
	rows := b.Add(b.Mul(b.Div(pid, blocks), b.IntOf(bm)), b.Range(bm)).Named("rows")
	cols := b.Add(b.Mul(b.Mod(pid, blocks), b.IntOf(bn)), b.Range(bn)).Named("cols")
	inside := b.Lt(b.Col(rows), m).Named("inside")
	acc := b.Loop("start", b.Int(0), b.IntOf(k), bk.Size, []*tile.Value{b.Zeros(bm, bn).Named("acc")},
		func(i *tile.Value, c []*tile.Value) []*tile.Value {
			ks := b.Add(i, b.Range(bk)).Named("ks")
			xs := b.Load(x, b.Add(b.Mul(b.Col(rows), b.IntOf(k)), b.Row(ks)), inside, 0).Named("x")
			ws := b.Load(w, b.Add(b.Mul(b.Row(cols), b.IntOf(k)), b.Col(ks)), nil, 0).Named("w")
			return []*tile.Value{b.Dot(xs, ws, c[0])}
		})[0]
	b.Store(y, b.Add(b.Mul(b.Col(rows), b.IntOf(n)), b.Row(cols)), acc, inside)
	return p
}

func sparseAttention() *tile.Program {
	b := tile.NewBuilder("sparse_attention")
	p := b.Program
	p.Doc = "out[h] = Σ_j softmax_j(q[h]·kv[e_j] · scale) · kv[e_j], with exp(sink[h]) added to the denominator.\n\n" +
		"One program: all heads of one token. An entry of -1 is none."
	p.Source = "deepseek_v4.flag:103"
	p.Grid = "tokens"
	q := b.Pointer("q", tile.BF16, tile.In, "", "tokens", "H", "D")
	kv := b.Pointer("kv", tile.BF16, tile.In, "key and value at once", "rows", "D")
	entries := b.Pointer("entries", tile.I32, tile.In, "-1 = none", "tokens", "n")
	sink := b.Pointer("sink", tile.F32, tile.In, "", "H")
	out := b.Pointer("out", tile.BF16, tile.Out, "", "tokens", "H", "D")
	b.Scalar("tokens", "")
	b.Scalar("rows", "of the cache")
	n := b.Scalar("n", "entries of a token")
	h, d := b.Const("H", 16, "heads of one rank"), b.Const("D", 64, "")
	block := b.Const("BLOCK", 32, "entries of one step")
	pid := b.ProgramID()
	heads, dims := b.Range(h).Named("heads"), b.Range(d).Named("dims")
	tokenHeads := b.Add(b.Mul(b.Add(b.Mul(pid, b.IntOf(h)), b.Col(heads)), b.IntOf(d)), b.Row(dims)).Named("head_offs")
	b.Note("the scale is folded into the scores in float32")
	qs := b.Load(q, tokenHeads, nil, 0).Named("query")
	b.Note("online softmax; the sink takes part from the start, with weight one and no value")
	state := b.Loop("start", b.Int(0), n, block.Size,
		[]*tile.Value{b.Load(sink, heads, nil, 0).Named("top"), b.Full(b.Float(1), h).Named("total"), b.Zeros(h, d).Named("acc")},
		func(i *tile.Value, c []*tile.Value) []*tile.Value {
			at := b.Add(i, b.Range(block))
			e := b.Load(entries, b.Add(b.Mul(pid, n), at), b.Lt(at, n), -1).Named("entry")
			valid := b.GeI(e, 0).Named("valid")
			rows := b.Where(valid, e, b.Int(0))
			kvs := b.Load(kv, b.Add(b.Mul(b.Col(rows), b.IntOf(d)), b.Row(dims)), b.Col(valid), 0).Named("keys")
			s := b.MulF(b.Dot(qs, b.Transpose(kvs, 1, 0), b.Zeros(h, block)), 0.125)
			s = b.Where(b.Row(valid), s, b.Float(negInf)).Named("scores")
			top := b.Maximum(c[0], b.Max(s, 1)).Named("new_top")
			fade := b.Exp(b.Sub(c[0], top)).Named("fade")
			e2 := b.Exp(b.Sub(s, b.Col(top))).Named("weights")
			total := b.Add(b.Mul(c[1], fade), b.Sum(e2, 1))
			acc := b.Dot(b.Cast(e2, tile.BF16), kvs, b.Mul(c[2], b.Col(fade)))
			return []*tile.Value{top, total, acc}
		})
	b.Store(out, tokenHeads, b.Div(state[2], b.Col(state[1])), nil)
	return p
}

func actQuant() *tile.Program {
	b := tile.NewBuilder("act_quant")
	p := b.Program
	p.Doc = "Each block of 128 numbers becomes e4m3 with one scale, a power of two."
	p.Grid = "blocks"
	x := b.Pointer("x_ptr", tile.BF16, tile.In, "", "blocks", "BLOCK")
	q := b.Pointer("q_ptr", tile.E4M3, tile.Out, "", "blocks", "BLOCK")
	s := b.Pointer("s_ptr", tile.I8, tile.Out, "exponents", "blocks")
	b.Scalar("blocks", "")
	block := b.Const("BLOCK", 128, "")
	pid := b.ProgramID()
	offs := b.Add(b.Mul(pid, b.IntOf(block)), b.Range(block)).Named("offs")
	xs := b.LoadF32(x, offs, nil, 0).Named("x")
	amax := b.Maximum(b.Max(b.Abs(xs), 0), b.Float(1e-4)).Named("amax")
	b.Note("the exponent of amax / 448, rounded up")
	bits := b.Bitcast(b.MulF(amax, 1.0/448), tile.I32).Named("bits")
	exponent := b.Add(b.And(b.Shr(bits, 23), b.Int(255)), b.Cast(b.Ne(b.AndI(bits, 0x7fffff), b.Int(0)), tile.I32))
	exponent = exponent.Named("exponent")
	inverse := b.Bitcast(b.Shl(b.Sub(b.Int(254), exponent), 23), tile.F32)
	b.Store(q, offs, b.MinF(b.MaxF(b.Mul(xs, inverse), -448), 448), nil)
	b.Store(s, pid, exponent, nil)
	return p
}

// turns is loops that swap, rotate and nest.
func turns() *tile.Program {
	b := tile.NewBuilder("turns")
	p := b.Program
	p.Doc = "Loops whose variables change places."
	p.Grid = "1"
	x := b.Pointer("x_ptr", tile.F32, tile.In, "", "16")
	y := b.Pointer("y_ptr", tile.F32, tile.Out, "", "64")
	n := b.Scalar("n", "rounds")
	at := b.Range(b.Const("N", 16, "")).Named("at")
	one := b.Load(x, at, nil, 0).Named("one")
	swapped := b.Loop("i", b.Int(0), n, 1, []*tile.Value{one, b.MulF(one, 2)},
		func(_ *tile.Value, c []*tile.Value) []*tile.Value { return []*tile.Value{c[1], c[0]} })
	b.Note("a Fibonacci step: the older value is read after the newer one is known")
	fib := b.Loop("i", b.Int(0), n, 1, []*tile.Value{swapped[0].Named("older"), swapped[1].Named("newer")},
		func(_ *tile.Value, c []*tile.Value) []*tile.Value { return []*tile.Value{c[1], b.Add(c[0], c[1])} })
	total := b.Loop("i", b.Int(1), n, 2, []*tile.Value{b.Zeros(tile.Dim{Size: 16, Name: "N"}).Named("total")},
		func(i *tile.Value, c []*tile.Value) []*tile.Value {
			return b.Loop("j", b.Int(0), i, 1, c, func(j *tile.Value, c []*tile.Value) []*tile.Value {
				return []*tile.Value{b.Add(c[0], b.Mul(one, b.Cast(j, tile.F32)))}
			})
		})[0]
	last := b.Loop("i", b.Int(0), n, 1, []*tile.Value{one, b.Float(0).Named("count")},
		func(i *tile.Value, c []*tile.Value) []*tile.Value {
			next := b.Mul(c[0], c[0])
			return []*tile.Value{b.Add(next, c[0]), b.AddF(c[1], 1)}
		})
	b.Store(y, at, b.Add(fib[0], fib[1]), nil)
	b.Store(y, b.AddI(at, 16), b.Add(total, one), nil)
	b.Store(y, b.AddI(at, 32), b.Mul(last[0], last[1]), nil)
	b.Store(y, b.AddI(at, 48), b.Sub(swapped[0], swapped[1]), nil)
	return p
}

// sections is a program whose instances do different things, and one of them finishes for all.
func sections() *tile.Program {
	b := tile.NewBuilder("sections")
	p := b.Program
	p.Doc = "Two jobs side by side; whoever is last adds up."
	p.Grid = "m + 1"
	x := b.Pointer("x_ptr", tile.F32, tile.In, "", "m", "N")
	part := b.Pointer("part_ptr", tile.F32, tile.Out, "", "m")
	count := b.Pointer("count_ptr", tile.I32, tile.InOut, "zero before the launch", "1")
	out := b.Pointer("out_ptr", tile.F32, tile.Out, "", "2")
	m := b.Scalar("m", "rows")
	n := b.Const("N", 64, "")
	pid := b.ProgramID()
	b.If(b.Lt(pid, m), func() {
		sum := b.Sum(b.Load(x, b.Add(b.Mul(pid, b.IntOf(n)), b.Range(n)), nil, 0), 0).Named("sum")
		b.Store(part, pid, sum, nil)
		b.Barrier()
		b.Note("the last row to arrive adds up all")
		arrived := b.AtomicAdd(count, b.Int(0), b.Int(1)).Named("arrived")
		b.If(b.Eq(arrived, b.SubI(m, 1)), func() {
			sum := b.Loop("row", b.Int(0), m, 1, []*tile.Value{b.Float(0).Named("sum")},
				func(i *tile.Value, c []*tile.Value) []*tile.Value {
					return []*tile.Value{b.Add(c[0], b.Load(part, i, nil, 0))}
				})[0]
			b.Store(out, b.Int(0), sum, nil)
		}, nil)
	}, func() {
		b.Note("the spare program")
		b.If(b.Eq(pid, m), func() {
			sum := b.Sum(b.Exp(b.Neg(b.Load(x, b.Range(n), nil, 0))), 0).Named("sum")
			b.Store(out, b.Int(1), sum, nil)
		}, nil)
	})
	return p
}

func widenFP4() *tile.Program {
	b := tile.NewBuilder("widen_fp4")
	p := b.Program
	p.Doc = "Packed e2m1 pairs become bf16."
	p.Grid = "n // BLOCK"
	x := b.Pointer("x_ptr", tile.I8, tile.In, "two per byte, the lower half first", "n")
	y := b.Pointer("y_ptr", tile.BF16, tile.Out, "", "2 * n")
	b.Scalar("n", "bytes")
	block, two := b.Const("BLOCK", 128, ""), tile.D(2)
	first := b.Mul(b.ProgramID(), b.IntOf(block)).Named("first")
	bytes := b.Cast(b.Load(x, b.Add(first, b.Range(block)), nil, 0), tile.I32).Named("pair")
	halves := b.AndI(shiftRight(b, b.Col(bytes), b.Mul(b.Row(b.Range(two)), b.Int(4))), 15)
	code := b.Reshape(halves, tile.D(2*block.Size)).Named("code")
	magnitude := b.Bitcast(b.Shl(b.AndI(code, 7), 22), tile.F32)
	sign := b.Where(b.GeI(code, 8), b.Float(-1), b.Float(1))
	value := b.Mul(b.MulF(magnitude, 0x1p126), sign)
	b.Store(y, b.Add(b.MulI(first, 2), b.Range(tile.D(2*block.Size))), value, nil)
	return p
}

func shiftRight(b *tile.Builder, x, n *tile.Value) *tile.Value { return b.Binary(tile.Shr, x, n) }

// odds has what the others lack.
func odds() *tile.Program {
	b := tile.NewBuilder("odds")
	p := b.Program
	p.Doc = "Every other op.\n\nA backslash \\ and three quotes \"\"\" end nothing."
	p.Grid = "4"
	x := b.Pointer("x", tile.F32, tile.In, "", "4", "64")
	h := b.Pointer("h", tile.F16, tile.InOut, "", "4", "64")
	y := b.Pointer("y", tile.F32, tile.Out, "", "4", "64")
	n := b.Scalar("n", "columns")
	eight := tile.D(8)
	cols := b.Range(tile.D(64)).Named("lane")
	in := b.Lt(cols, n)
	xs := b.Load(x, b.Add(b.Mul(b.ProgramID(), b.Int(64)), cols), in, negInf).Named("x")
	square := b.Reshape(xs, eight, eight)
	flipped := b.Transpose(square, 1, 0)
	cube := b.Transpose(b.Reshape(xs, tile.D(4), tile.D(2), eight), 1, 0, 2)
	r := b.Rsqrt(b.AddF(b.Sqrt(b.Abs(square)), 1e-6))
	z := b.Add(b.Floor(b.Log(b.Maximum(r, b.Float(0x1p-130)))), b.Minimum(flipped, b.Reshape(cube, eight, eight)))
	odd := b.Not(b.Eq(b.Xor(b.Or(cols, b.Int(16)), b.Int(3)), b.Int(0)))
	small := b.And(odd, b.Or(b.Le(cols, b.Int(60)), b.Gt(cols, b.Int(62))))
	wide := b.Load(h, b.ProgramID(), nil, 0)
	v := b.Where(small, b.Reshape(z, tile.D(64)), b.BroadcastTo(b.Reshape(b.Cast(wide, tile.F32), tile.D(1)), tile.D(64)))
	b.If(b.Not(b.Lt(n, b.Int(1))), func() {
		b.Store(y, b.Add(b.Cast(b.Mul(b.ProgramID(), b.Int(64)), tile.I64), b.Cast(cols, tile.I64)), v, in)
	}, func() { b.Store(h, b.Int(0), b.Reduce(tile.Min, v, 0), nil) })
	return p
}

// search ends as soon as it has found what it looks for.
func search() *tile.Program {
	b := tile.NewBuilder("search")
	p := b.Program
	p.Doc = "y[i] = the first place of row i whose number is below 0, or 8"
	p.Source, p.Grid, p.Launch = "deepseek_v4.flag:1", "tokens", tile.Launch{Warps: 1, Stages: 1}
	x := b.Pointer("x", tile.F32, tile.In, "", "tokens", "8")
	y := b.Pointer("y", tile.I32, tile.Out, "", "tokens")
	b.Scalar("tokens", "")
	row := b.ProgramID().Named("row")
	start := []*tile.Value{b.Eq(b.Int(0), b.Int(0)).Named("going"), b.Int(8).Named("found")}
	found := b.LoopWhile("turn", b.Int(0), b.Int(8), 1, start, func(i *tile.Value, c []*tile.Value) []*tile.Value {
		negative := b.Lt(b.Load(x, b.Add(b.MulI(row, 8), i), nil, 0), b.Float(0)).Named("negative")
		return []*tile.Value{b.Not(negative), b.Where(negative, i, c[1])}
	})[1]
	b.Store(y, row, found, nil)
	return p
}
