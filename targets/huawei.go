package targets

// Sources that several facts share.
const (
	ascendTable  = "public summary citing CSET, arXiv 2505.15112 and 2509.25224 and Huawei's product card"
	npuSMI       = "npu-smi as printed in vllm-ascend issues"
	ascendDocs   = "triton-ascend documentation"
	ascendFront  = "this project with the package triton-ascend 3.2.0, without NPU and CANN"
	ascendLaunch = "libtriton_jit, NPU backend"
)

// Ascend910B64 is the A2 card with 64 GB (910B1, B2, B3). Where these differ the figures are those of the B3,
// the smallest.
var Ascend910B64 = Target{
	Name:   "ascend-910b-64g",
	Doc:    "Huawei Ascend 910B with 64 GB (A2: B1, B2, B3): cube and vector cores, BF16 and INT8 products",
	Vendor: "Huawei",
	Tier:   Interpreted,
	Policy: PolicyBF16,
	Memory: Memory{
		Bytes:     vendor(64*GiB, npuSMI+": 65536 MB on B2C and B3"),
		Bandwidth: reported(1.6*TBs, ascendTable),
		L2:        reported(192*MB, ascendTable),
	},
	Compute: Compute{
		Units:       reported(20, ascendTable+", cube cores of the B3; 24 on B1 and B2"),
		VectorUnits: reported(40, ascendTable+", vector cores of the B3; 48 on B1 and B2"),
		FP16:        reported(313*TF, ascendTable+", B3; about 400 on B1"),
	},
	Dot: Dot{
		FP32: vendor(Native, ascendDocs+", dot types on A2 and A3"),
		TF32: vendor(None, ascendDocs+": HF32 exists and is another format"),
		FP16: vendor(Native, ascendDocs+", accumulates in fp32"),
		BF16: vendor(Native, ascendDocs+", accumulates in fp32"),
		INT8: vendor(Native, ascendDocs+", accumulates in int32"),
		FP8:  vendor(None, ascendDocs+"; the kernel compiler fails on e4m3 (FlagTree #987)"),
		FP4:  vendor(None, ascendDocs+", dot types on A2 and A3"),
	},
	OnChip: OnChip{
		Kind:  vendor(UnifiedBuffer, ascendDocs),
		Bytes: vendor(192*KiB, ascendDocs+", per vector core"),
		Usable: derived(128*KiB,
			"FlagGems, ascend backend: budgets 0.65 to 0.70 of it, doubled buffers included; two thirds"),
		DoubleBuffered: vendor(true, ascendDocs+", option multibuffer, on unless switched off"),
	},
	Cube: &Cube{
		L1:        vendor(512*KiB, ascendDocs+", per cube core"),
		L0A:       vendor(64*KiB, ascendDocs+", per cube core"),
		L0B:       vendor(64*KiB, ascendDocs+", per cube core"),
		L0C:       vendor(128*KiB, ascendDocs+", per cube core"),
		Alignment: vendor(Bytes(512), ascendDocs),
	},
	Warps: Warps{
		Width:   code(1, ascendLaunch+": there are no warps"),
		Ignored: vendor(true, ascendDocs),
	},
	Stages: Stages{Ignored: vendor(true, ascendDocs)},
	Grid: Grid{
		Max: vendor(65535,
			ascendDocs+"; more needs TRITON_ALL_BLOCKS_PARALLEL and kernels free of block order"),
		Persistent: vendor(true, ascendDocs+": one program per core with a loop inside"),
	},
	Index: Index{Bits: vendor(32, ascendDocs+": int64 vectors fall back to scalar code")},
	Loads: Loads{
		LiveMasked: code(true, "FlagDNN, ascend backend: inactive gather lanes need an address in range"),
		Repeats: measured(false,
			ascendFront+": a masked load that repeats along an axis aborts, strides must not be zero"),
		FP8:       measured(false, ascendFront+": an fp8 pointer is refused"),
		Unsigned:  vendor(false, ascendDocs+": uint8 to uint64 are neither loaded nor stored"),
		Alignment: vendor(Bytes(32), ascendDocs),
	},
	Ops: Ops{
		FP64:  vendor(Forbidden, ascendDocs),
		Int64: vendor(Slow, ascendDocs+": additions and comparisons become scalar code"),
		Sort: measured(Works,
			ascendFront+": lowers 1024 lanes; documented for bf16, fp16, fp32, int8 and int16"),
		Cumsum:  vendor(Works, ascendDocs+", signed types only"),
		Gather:  measured(Slow, ascendFront+": discrete accesses stay scalar loops"),
		Atomics: code(Forbidden, "FlagDNN, ascend backend: lanes that hit one address apply once"),
		EarlyReturn: code(Forbidden,
			"FlagTree #1241 to #1244: a return in nested conditions crashes the linalg pass"),
		Descriptors: measured(Forbidden, ascendFront+": Triton 3.2 has none"),
	},
	Toolchain: Toolchain{
		Triton:      measured("3.2.0", ascendFront),
		Backend:     code("npu", ascendLaunch),
		Arch:        code("Ascend910B3", ascendDocs+", as the driver names the chip"),
		Artifact:    code("npubin", ascendLaunch),
		AheadOfTime: measured(false, ascendFront+": ends at Linalg; the NPU compiler is part of CANN"),
		FrontEnd:    measured("triton-ascend with triton-adapter-opt", ascendFront+": kernel text to Linalg"),
	},
	Launch: Launch{
		Call:         code("rtKernelLaunch", ascendLaunch),
		FloatScalars: code(true, ascendLaunch+": 16-bit floats widen to fp32, small integers to int32"),
	},
	Notes: []Note{
		{"vLLM runs DeepSeek-V4-Flash in INT8 W8A8 and Pro in W4A8 here, FlagOS in BF16",
			"vllm-ascend, SGLang #29599, FlagOS"},
		{"a new shape costs 1 to 2 s of compilation on the request path: compile a fixed set beforehand",
			"vllm-ascend #14324"},
		{"scratch memory that one stage wrote and the next reads must be a fresh buffer",
			"FlagDNN, ascend backend"},
		{"expert products with K 64 and M from 64 on fail to compile: keep K at 32",
			"FlagGems, ascend backend"},
	},
}

// Ascend910B32 is the 910B4: half the memory at half the rate.
var Ascend910B32 = Ascend910B64.like("ascend-910b-32g",
	"Huawei Ascend 910B4 with 32 GB: the A2 card with half the memory at half the rate", func(t *Target) {
		t.Policy = PolicyW4A16 // BF16 weights of the smaller model do not fit 8 or 16 such cards
		t.Memory.Bytes = vendor(32*GiB, npuSMI+": 32768 MB on B4")
		t.Memory.Bandwidth = reported(0.8*TBs, ascendTable)
		t.Memory.L2.forget()
		t.Compute.Units = reported(20, ascendTable)
		t.Compute.VectorUnits = reported(40, ascendTable)
		t.Compute.FP16 = reported(280*TF, ascendTable)
		t.Toolchain.Arch = code("Ascend910B4", ascendDocs+", as the driver names the chip")
	})

// Ascend910C is one of the two dies of the A3 package: the driver lists each as a device, a rank holds one.
var Ascend910C = Ascend910B64.like("ascend-910c",
	"Huawei Ascend 910C (A3), one die of the package's two: what the driver calls a device", func(t *Target) {
		t.Memory.Bytes = vendor(64*GiB, "npu-smi in vllm-ascend #9319: two devices of 64 GB per package")
		t.Memory.Bandwidth = derived(1.6*TBs, "half of the package's 3.2 TB/s at besthub.dev and epium.com")
		t.Memory.L2.forget()
		t.Compute = Compute{
			FP16: derived(390*TF, "half of the package's 780 to 800 at besthub.dev and epium.com"),
			BF16: derived(390*TF, "half of the package's 780 at techpowerup.com, April 2025"),
		}
		t.Toolchain.Arch = code("Ascend910_9382",
			ascendDocs+", as the driver names one such chip; others of 93xx exist")
		t.note("sources disagree on the package's links: 784 GB/s and 400 GB/s",
			"besthub.dev; techpowerup.com")
		t.note("Flash in W8A8 spread over 8 dies takes 47.4 GiB of weights and 7.0 GiB of cache per die",
			"vllm-ascend #13439")
	})
