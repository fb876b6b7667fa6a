package targets

// Sources that several facts share.
const (
	xpuBackend = "FlagGems and FlagTree, kunlunxin backend"
	xpuLaunch  = "libtriton_jit, Kunlunxin backend"
)

// P800 is many small cores without warps, and the target with the most rules.
var P800 = Target{
	Name:   "p800",
	Doc:    "Kunlunxin P800 96 GB (XPU3): clusters of cores, no warps, BF16 products, strict masking rules",
	Vendor: "Kunlunxin",
	Tier:   Interpreted,
	Policy: PolicyBF16,
	Memory: Memory{
		Bytes: vendor(96*GiB, "xpu-smi as printed in Paddle #75481: 98304 MiB"),
		L2:    vendor(96*MiB, "xpu-smi as printed in Paddle #75481, there called L3"),
	},
	Compute: Compute{
		Units: code(12, xpuBackend+": clusters, of 64 cores for vectors and 8 for matrix products"),
	},
	Dot: Dot{
		FP32: code(Native, xpuBackend+", with tf32 not allowed"),
		FP16: code(Native, xpuBackend),
		BF16: code(Native, xpuBackend+", through the matrix unit"),
		FP8:  code(None, xpuBackend+": the list of supported fp8 types is empty in 3.6"),
		FP4:  code(None, xpuBackend),
	},
	OnChip: OnChip{Kind: code(CoreBuffers, xpuBackend+": about 2 KiB of tile buffer in each core")},
	Warps: Warps{
		Width:   code(1, xpuLaunch),
		Ignored: code(true, xpuBackend),
	},
	Stages: Stages{Safe: code(1, xpuBackend+": more only for kernels of the matrix unit")},
	Grid: Grid{
		Persistent: code(true, xpuBackend+": give each program whole rows"),
		PerProgram: reported(Microseconds(0.9), "public page on P800 kernels: 0.6 to 0.9 µs"),
	},
	Index: Index{Bits: code(32, xpuBackend+": int64 tiles blow up")},
	Loads: Loads{
		OtherIgnored: code(true, xpuBackend+", unless TRITONXPU_OTHER_SIM is set; saying it spoils lanes that are not masked"),
		MinLanes: reported(64,
			"public page on P800 kernels: 32 lanes and fewer give wrong tails with several programs; "+
				"sums of 16 rows of a tile are in use in FlagGems, log_softmax of the kunlunxin backend"),
		MaxMasked: code(16, xpuBackend+": rows of a tile with a masked tail; 32 corrupt"),
		FP8:       code(false, xpuBackend+"; per_token_group_quant_fp8 fails"),
	},
	Stores:     Stores{EmptyDropsAll: code(true, xpuBackend)},
	Reductions: Reductions{MaxLanes: code(8192, xpuBackend), LastAxis: code(true, xpuBackend)},
	Ops: Ops{
		FP64:         code(Slow, xpuBackend),
		Int64:        code(Forbidden, xpuBackend+": tiles blow up"),
		Divide:       code(Slow, xpuBackend+": no divider in hardware"),
		Cumsum:       code(Forbidden, xpuBackend+": hangs when large"),
		Gather:       reported(Slow, "public page on P800 kernels: 1 to 3 GB/s"),
		Transpose:    code(Forbidden, xpuBackend),
		BroadcastExp: reported(Forbidden, "public page on P800 kernels: the tile is corrupt"),
		Atomics:      reported(Slow, "public page on P800 kernels: 0.1 GB/s"),
	},
	Toolchain: Toolchain{
		Triton:   code("3.0.0", "FlagGems, table of backend wheels; the fork moves to 3.6"),
		Backend:  code("xpu", xpuBackend),
		Arch:     code("3", xpuBackend),
		Artifact: code("xpubin", xpuBackend),
	},
	Launch: Launch{
		Call:         code("xpu_launch_async", xpuLaunch),
		FloatScalars: code(false, xpuLaunch+": taken for constants and dropped"),
		BytePointers: code(false, xpuLaunch+": taken for constants and dropped"),
	},
	Notes: []Note{
		{"compile with TRITONXPU_OTHER_SIM=1 and TRITONXPU_STORE_MASK_SIM=1: without them masked rows of a tile may be stored too",
			"FlagTree, validation of XPU Triton 3.6; FlagGems, log_softmax of the kunlunxin backend"},
		{"the vendor's library gave wrong logits for a wide linear until split along N: cut the head",
			"vLLM-Kunlun #387"},
		{"FlagOS serves DeepSeek-V4-Flash in BF16 on 8 cards, 607 GB of weights", "FlagOS"},
		{"some hosts need BKCL_CHECK_AW=0 for collectives over several cards", "vLLM-Kunlun #382, #420"},
	},
}
