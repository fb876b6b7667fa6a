package targets

// Sources that several facts share.
const (
	hcuInfo     = "FlagTree, hcu backend, TargetInfo.cpp"
	hcuCompiler = "FlagTree 3.6, compiler_hcu.py"
	hcuTable    = "FlagDNN, table of what runs on gfx936"
	cookbook    = "HYGON-AI inference cookbook"
)

// BW1000 is the DCU of architecture gfx936.
var BW1000 = Target{
	Name:   "bw1000",
	Doc:    "Hygon DCU BW1000 64 GB (gfx936): waves of 64, BF16 and INT8 products, FP8 only by emulation",
	Vendor: "Hygon",
	Tier:   Interpreted,
	Policy: PolicyBF16,
	Memory: Memory{Bytes: reported(64*GB, cookbook)},
	Compute: Compute{
		Units: reported(80, "FlagGems #6044, environment of a tuning run on gfx936"),
	},
	Dot: Dot{
		FP32:   code(Native, hcuCompiler+": dot precision ieee"),
		TF32:   code(None, hcuCompiler+": only gfx942 has it, which is no part of this vendor"),
		FP16:   code(Native, hcuTable),
		BF16:   code(Native, "FlagGems-vllm #746: bf16 is the fast path on gfx936"),
		INT8:   reported(Native, cookbook+": INT8 W8A8 is how the vendor serves the model"),
		FP8:    code(Emulated, "FlagGems-vllm #746: about ten times slower than bf16"),
		FP4:    code(None, "FlagGems-vllm, hygon backend: FP4 weights are widened by moving bits"),
		Scaled: code(Emulated, hcuTable+": MXFP8 products run, through wider types"),
	},
	OnChip: OnChip{
		Kind:  code(Shared, hcuInfo),
		Bytes: code(64*KiB, hcuInfo),
	},
	Warps: Warps{
		Width: code(64, hcuInfo),
		Max:   derived(16, "FlagTree, hcu backend: a block has at most 1024 threads, in waves of 64"),
	},
	Index: Index{Bits: code(32,
		"FlagDNN, hygon backend: reads with int64 offsets miscompile at some widths; widen at the address")},
	Loads: Loads{
		FP8:       code(false, hcuCompiler+": accepted from Triton 3.6 on, the wheels of 3.3 refuse"),
		MaxTensor: code(2*GiB, hcuCompiler+": buffer operations need pointers whose range fits"),
	},
	Ops: Ops{
		FP64:        code(Works, hcuTable),
		HalfAtomics: code(Forbidden, "FlagGems-vllm, hygon backend on gfx936: no instruction for it"),
		Clusters:    code(Forbidden, hcuCompiler),
	},
	Toolchain: Toolchain{
		Triton: code("3.3.0+das.opt1.dtk2604",
			"FlagGems, table of backend wheels; flagtree 0.6 moves to 3.6"),
		Backend:  code("hip", hcuCompiler),
		Arch:     reported("gfx936", "public page on DCU architectures"),
		Artifact: code("hsaco", hcuCompiler),
		StandIn: measured("gfx942",
			"this project: triton 3.6.0 compiles for it without a device; waves of 64 too"),
	},
	Launch: Launch{
		Call: code("hipModuleLaunchKernel", "libtriton_jit, HCU backend"),
	},
	Notes: []Note{
		{"the nominal 64 KiB are a cautious limit: tiles of 80 to 96 KiB by the usual estimate ran",
			"FlagGems-vllm, hygon backend"},
		{"the vendor serves DeepSeek-V4-Flash in INT8 W8A8 on 8 cards: 59 ms per token with its own kernels",
			cookbook + " and a public page"},
		{"autotuning chooses differently from process to process: freeze the tables",
			"FlagGems-vllm, hygon backend"},
		{"a matrix read after a register spill can give wrong results", hcuCompiler},
	},
}

// BW1100 is the successor of architecture gfx938.
var BW1100 = BW1000.like("bw1100",
	"Hygon DCU BW1100 144 GB (gfx938): more memory than a BW1000, served with FP8 weights", func(t *Target) {
		t.Memory = Memory{
			Bytes:     reported(144*GB, cookbook+"; a device note says GiB"),
			Bandwidth: reported(5.3*TBs, cookbook+", quoted as the peak in its profiling guide"),
		}
		t.Compute.Units = reported(64, cookbook+": the machine that its tuning file was made on")
		t.Dot.FP16.forget()
		t.Dot.BF16 = reported(Native,
			cookbook+": the family is served with BF16 caches; no document on the matrix unit was seen")
		t.Dot.INT8.forget()
		t.Dot.FP8.forget() // in service, but no document says by which unit
		t.Dot.Scaled.forget()
		t.Ops.FP64.forget()
		t.Ops.HalfAtomics.forget()
		t.Toolchain.Arch = reported("gfx938", "public page on DCU architectures")
		t.Notes = []Note{
			{"served with FP8 W8A8 weights, so FP8 products may be native; no document of the unit was seen",
				cookbook},
			{"with Triton 3.6, blocks of 32 in 4 warps lost stores; 2 warps are right",
				"public page on gfx938"},
		}
	})

// K100AI is the older card of architecture gfx928.
var K100AI = BW1000.like("k100-ai",
	"Hygon DCU K100-AI 64 GB (gfx928): older than the BW1000, not validated", func(t *Target) {
		t.Compute.Units.forget()
		t.Dot.FP16.forget()
		t.Dot.BF16 = reported(Native,
			cookbook+": the family is served with BF16 caches; no document on the matrix unit was seen")
		t.Dot.INT8.forget()
		t.Dot.FP8 = code(Emulated, hcuCompiler+": conversion in software on older parts")
		t.Dot.Scaled.forget()
		t.Ops.FP64.forget()
		t.Ops.HalfAtomics.forget()
		t.Toolchain.Arch = code("gfx928", "FlagTree, hcu backend, table of architectures")
		t.Notes = []Note{{"DeepSeek-V4 is not validated on this card by its vendor", cookbook}}
	})
