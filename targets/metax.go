package targets

// Sources that several facts share.
const (
	macaQuery   = "device query on a public page, and the properties that PyTorch's inductor reports"
	macaBackend = "FlagTree and FlagGems, metax backend"
)

// C500 is the card whose properties were printed in full.
var C500 = Target{
	Name:   "c500",
	Doc:    "MetaX C500 64 GB: waves of 64, BF16 and INT8 products, no FP8 units",
	Vendor: "MetaX",
	Tier:   Interpreted,
	Policy: PolicyBF16,
	Memory: Memory{
		Bytes: vendor(64*GiB, macaQuery),
		L2:    vendor(8*MiB, macaQuery),
	},
	Compute: Compute{
		Units: vendor(104, macaQuery),
		FP32:  reported(29.8*TF, "torch-performance-test-data #155, a measured product"),
		TF32:  reported(108*TF, "torch-performance-test-data #155, a measured product"),
		FP16:  reported(226*TF, "torch-performance-test-data #155, a measured product"),
		BF16: reported(226*TF,
			"torch-performance-test-data #155, a measured product; 240 follow from a tender's total"),
	},
	Dot: Dot{
		FP32: code(Native, macaBackend),
		TF32: code(Native, macaBackend),
		FP16: code(Native, macaBackend),
		BF16: code(Native, macaBackend),
		INT8: code(Native, macaBackend),
		FP8:  reported(None, "no FP8 unit is claimed anywhere; FlagGems' cutlass_scaled_mm fails"),
		FP4:  reported(None, "no FP4 unit is claimed anywhere"),
		MinM: code(16, "FlagTree #1232: the compiler crashes at 8"),
		MinN: code(16, "FlagTree #1179: the compiler crashes at 1"),
	},
	OnChip: OnChip{
		Kind:  code(Shared, macaBackend),
		Bytes: vendor(64*KiB, macaQuery),
	},
	Warps: Warps{
		Width: vendor(64, macaQuery),
		Max:   code(16, macaBackend),
	},
	Loads: Loads{
		MinGather: code(256,
			"FlagGems-vllm, metax backend: below a wave they fail to lower, 256 lanes are safe"),
		FP8: code(false, macaBackend+": conversions are allowed, kernels with them fail"),
	},
	Ops: Ops{
		FP64: code(Works, macaBackend),
	},
	Toolchain: Toolchain{
		Triton:   code("3.0.0+metax3.7.2.0", "FlagGems, table of backend wheels; 3.6.0+metax3.8.1.0 follows"),
		Backend:  code("maca", macaBackend),
		Arch:     code("80", macaBackend),
		Artifact: code("mcfatbin", "libtriton_jit, MACA backend"),
		StandIn:  derived("sm_80", "CUDA-like, of the same capability, with warps of 32 instead of 64"),
	},
	Launch: Launch{
		Call: code("mcModuleLaunchKernel", "libtriton_jit, MACA backend"),
	},
	Notes: []Note{
		{"1.8 TB/s is an estimate of a planning tool and confirmed nowhere", "public page"},
		{"a thread may spill 4 KiB, beyond that the launch fails", "public page"},
		{"a matrix kernel's operands must fit: (M + N) x K x 2 bytes x stages within 64 KiB", macaBackend},
		{"vLLM serves DeepSeek-V4-Flash in INT8 W8A8 on 8 cards, FlagOS in BF16", "vLLM-metax #338, FlagOS"},
		{"autotuned kernels trapped with memory violations on C550: freeze configurations",
			"FlagGems #6291, #6292"},
	},
}

// C550 is the module form.
var C550 = C500.like("c550",
	"MetaX C550 64 GB: as the C500 as far as is known; vendor kernels are tuned for it", func(t *Target) {
		t.Memory = Memory{Bytes: vendor(63600*MB, "FlagGems #5989: 63.6 to 64 GB, the smaller taken")}
		t.Compute = Compute{}
	})
