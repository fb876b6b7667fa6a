package targets

// Sources that several facts share.
const (
	ppuQuery   = "device properties in FlagTree #1005 and on a public page"
	ppuBackend = "FlagTree 3.6, ppu compiler"
)

// Zhenwu810E is a PPU: CUDA-like, of capability 8.0 as its own compiler reports.
var Zhenwu810E = Target{
	Name:   "zhenwu-810e",
	Doc:    "T-Head Zhenwu 810E (PPU) 96 GB: resembles CUDA, BF16 and INT8 products, FP8 only by software",
	Vendor: "T-Head",
	Tier:   Interpreted,
	Policy: PolicyBF16,
	Memory: Memory{
		Bytes:     vendor(97920*MiB, ppuQuery),
		Bandwidth: derived(2.0*TBs, "public page: reading 4.426 GB is given a floor of 2.20 ms"),
	},
	Link: Link{Bandwidth: reported(700*GBs, "udn.com of January 2026, servernews 1136036")},
	Compute: Compute{
		Units: vendor(72, ppuQuery),
	},
	Dot: Dot{
		FP32:   code(Native, ppuBackend),
		TF32:   code(Emulated, ppuBackend+" accepts it; the vendor's library rounds it through fp16"),
		FP16:   code(Native, ppuBackend),
		BF16:   code(Native, ppuBackend),
		INT8:   code(Native, ppuBackend+", into int32"),
		FP8:    code(Emulated, ppuBackend+": promoted to fp16 at capability 80"),
		FP4:    code(None, ppuBackend+": native only on later parts"),
		Scaled: code(Emulated, ppuBackend+": decomposed"),
	},
	OnChip: OnChip{
		Kind:       code(Shared, "libtriton_jit, PPU backend"),
		OptInAbove: code(48*KiB, "libtriton_jit, PPU backend"),
	},
	Warps: Warps{Width: vendor(32, ppuQuery)},
	Loads: Loads{FP8: code(false,
		"FlagTree #975, #1005: the vendor's wheels refuse; accepted from Triton 3.6 on")},
	Ops: Ops{
		FP64:        code(Works, ppuBackend),
		Clusters:    code(Forbidden, ppuBackend+": needs capability 90"),
		Descriptors: code(Slow, ppuBackend+": no copy engine behind them"),
	},
	Toolchain: Toolchain{
		Triton:   code("3.5.0+ppu2.0.0", "FlagDNN, thead design, September 2026"),
		Backend:  code("cuda", ppuBackend+" and the vendor's wheel"),
		Arch:     vendor("80", ppuQuery),
		Artifact: code("cubin", "FlagDNN, thead design; the fork of Triton 3.6 leaves hgbin"),
		StandIn:  derived("sm_80", "CUDA-like, of the same capability; another instruction set"),
	},
	Launch: Launch{Call: code("hgLaunchKernel",
		"libtriton_jit, PPU backend; the vendor's wheel goes through cuLaunchKernel")},
	Notes: []Note{
		{"one kernel library calls it compute_89, the device reports 8.0: believe the compiler's own report",
			"FlagGems-vllm #696; FlagTree #1005"},
		{"119 Top/s per card follow from a cluster's total, the precision is not stated",
			"a cluster of 16384 cards announced at 1945 Pop/s"},
		{"decoding is bound by launches: capture graphs",
			"public page: 20 ms per step alone, 6.3 ms replayed, 2.2 ms of reading"},
		{"the vendor serves DeepSeek-V4-Flash in INT8 on 8 cards", "public page, SGLang 0.5.12"},
		{"the library's int32 arithmetic passes through fp32 and is inexact above 2^24",
			"vendor's DNN library as described by FlagDNN"},
	},
}
