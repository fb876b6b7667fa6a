package targets

// Sources that several facts share.
const (
	musaInfo    = "musaInfo as printed in the vendor's installation guide"
	musaBackend = "FlagTree, mthreads backend"
	musaVLLM    = "FlagGems-vllm, mthreads backend"
)

// S5000 resembles CUDA with a pipeliner that must not be trusted.
var S5000 = Target{
	Name:   "s5000",
	Doc:    "Moore Threads MTT S5000 80 GB: warps of 32, FP8 products, pipelining limited to one stage",
	Vendor: "Moore Threads",
	Tier:   Interpreted,
	Policy: PolicyFP8,
	Memory: Memory{
		Bytes:     vendor(79910*MB, musaInfo),
		Bandwidth: vendor(1.6*TBs, musaInfo+": 640 bit at 20 Gb/s"),
		L2:        vendor(60*MiB, musaInfo),
	},
	Link: Link{Bandwidth: reported(784*GBs, "ldeepai.com; reportify of February 2026")},
	Compute: Compute{
		Units: vendor(56, musaInfo),
		FP8: reported(920*TF,
			"ldeepai.com; reportify of February 2026: air-cooled, 1000 with liquid; myzaker says 1024"),
	},
	Dot: Dot{
		TF32:   code(Native, musaBackend),
		FP16:   code(Native, musaBackend),
		BF16:   code(Native, musaBackend),
		INT8:   code(Native, "FlagTree #1189, exact"),
		FP8:    code(Native, "FlagTree #1114, #1116: when the tile fits the unit, otherwise multiply-adds"),
		FP4:    code(None, musaBackend),
		Scaled: code(Emulated, musaBackend),
		MinM:   code(16, musaVLLM+": the matrix unit needs 16 rows"),
	},
	OnChip: OnChip{
		Kind:      vendor(Shared, musaInfo),
		Bytes:     vendor(192*KiB, musaInfo),
		Usable:    code(128*KiB, musaVLLM+", #100: what dynamic shared memory really takes"),
		Unchecked: code(true, musaVLLM+": a program that needs more writes out of range silently"),
	},
	Warps: Warps{
		Width: vendor(32, musaInfo),
		Max:   derived(32, musaInfo+": 1024 threads of a block in warps of 32"),
	},
	Stages: Stages{Safe: code(1,
		"FlagTree #1222, #1223: wrong results from 3 stages on, at 2 with 8 warps or conditional stores")},
	Grid:  Grid{Max: vendor(1<<31-1, musaInfo)},
	Loads: Loads{FP8: code(true, musaBackend+": fp8e4nv from capability 31 on")},
	Ops: Ops{
		FP64:        code(Forbidden, "FlagGems, mthreads backend, switches it off"),
		Descriptors: code(Slow, "FlagTree #1183: one reused over K can crash the compiler"),
	},
	Toolchain: Toolchain{
		Triton:   code("3.6.0", "FlagGems, table of backend wheels"),
		Backend:  code("musa", musaBackend),
		Arch:     vendor("31", musaInfo+", capability 3.1"),
		Artifact: code("mubin", "libtriton_jit, MUSA backend"),
		StandIn:  derived("sm_80", "CUDA-like, with warps of 32; no public compiler of the vendor was found"),
	},
	Launch: Launch{Call: code("muLaunchKernel", "libtriton_jit, MUSA backend")},
	Notes: []Note{
		{"the peak in BF16 is unknown; half of FP8 would be a guess", "no document"},
		{"an FP8 product can lose small terms: convert to fp16, which is exact, where the result is fp32",
			musaVLLM},
		{"vLLM serves DeepSeek-V4-Flash with FP8 weights and cache here", "vllm-musa #53, #57, #83, #156"},
		{"keep N at most 128 and N x K at most 8192 for 16-bit tiles", musaVLLM},
	},
}
