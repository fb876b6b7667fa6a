package targets

// Sources that several facts share.
const (
	cudaLimits   = "CUDA C++ Programming Guide, specifications per compute capability"
	hopperTuning = "NVIDIA Hopper Tuning Guide"
	tritonNV     = "Triton's nvidia backend, compiler.py"
	klockwood    = "glennklockwood.com, garden/processors"
	h200Pages    = "itkb.uw.cz of June 2026 and lzwjava.github.io, specifications of the H200"
	h20Pages     = "zangshuxian.com and willitrunai.com, specifications of the H20"
	b200Pages    = "hmc-tech.com and glennklockwood.com, HGX B200 at 1000 W"
	untried      = "Triton asks for no driver when a target is named; not tried by this project for this one"
	ownCompile   = "this project: a matmul compiled for sm_90 with triton 3.6.0 and neither GPU nor torch"
	ownRun       = "this project on one H200, driver 580.159, CUDA 13.0, Triton 3.6.0"
)

// H100 is the SXM card of the Hopper generation.
var H100 = Target{
	Name:   "h100",
	Doc:    "NVIDIA H100 SXM 80 GB, Hopper: FP8 products, no FP4",
	Vendor: "NVIDIA",
	Tier:   Compiled,
	Policy: PolicyFP8,
	Memory: Memory{
		Bytes:     reported(80*GB, klockwood+"/h100"),
		Bandwidth: reported(3.35*TBs, klockwood+"/h100"),
		L2:        reported(50*MB, "3eyedtech.com/gpgpu, overview of the H100 SXM5"),
	},
	Link: Link{Bandwidth: vendor(900*GBs, hopperTuning)},
	Compute: Compute{
		Units: reported(132, klockwood+"/h100"),
		FP16:  reported(989*TF, klockwood+"/h100"),
		BF16:  reported(989*TF, klockwood+"/h100"),
		FP8:   reported(1979*TF, klockwood+"/h100"),
	},
	Dot: Dot{
		FP32: code(Native, tritonNV+": precision ieee, by multiply-adds outside the matrix unit"),
		TF32: code(Native, tritonNV+", default precision of a float32 dot"),
		FP16: code(Native, "Triton's nvidia backend, MMA lowering for sm_90"),
		BF16: code(Native, "Triton's nvidia backend, MMA lowering for sm_90"),
		INT8: code(Native, "Triton's nvidia backend, MMA lowering for sm_90"),
		FP8:  code(Native, tritonNV+": fp8e4nv from capability 89 on"),
		FP8Exact: measured(Slow, ownCompile+": dots with max_num_imprecise_acc=0 become mma.sync, in the machine's code "+
			"conversions to FP16 and HMMA; FP16 operands become wgmma"),
		FP4: reported(None,
			h200Pages+": Hopper has no FP4 units; kernel libraries widen FP4 weights to BF16"),
		Scaled: code(Emulated, "native only from sm_100 on, as FlagGems guards its MXFP4 kernels"),
		MinM:   code(1, tritonNV+", min_dot_size: small M and N are padded"),
		MinN:   code(1, tritonNV+", min_dot_size: small M and N are padded"),
		MinK:   code(16, tritonNV+", min_dot_size"),
		MinK8:  code(32, tritonNV+", min_dot_size for 8-bit operands"),
	},
	OnChip: OnChip{
		Kind:       code(Shared, tritonNV),
		Bytes:      vendor(227*KiB, cudaLimits+", capability 9.0"),
		OptInAbove: vendor(48*KiB, cudaLimits+"; dynamic shared memory above needs the function's attribute"),
	},
	Warps: Warps{
		Width: vendor(32, cudaLimits),
		Max:   derived(32, cudaLimits+": 1024 threads of a block in warps of 32"),
	},
	Grid:  Grid{Max: vendor(1<<31-1, cudaLimits+", x dimension")},
	Loads: Loads{FP8: code(true, tritonNV+", supported_fp8_dtypes from capability 89 on")},
	Ops: Ops{
		FP64:       vendor(Works, cudaLimits),
		Multiply:   measured(Works, "this project on one H200, Triton 3.6.0: FP4 codes parted by a product each 5.98 us, by shifts 6.19"),
		Subnormals: measured(Works, "this project on one H100, Triton 3.6.0: FP4 codes as subnormal float32 multiplied exactly"),
		Atomics:    code(Works, tritonNV+": atomic_add becomes atom.add, also where lanes hit one address"),
		Clusters:   code(Works, tritonNV+": num_ctas above 1 from capability 90 on"),
		Descriptors: code(Works,
			tritonNV+": descriptors become copies of the tensor memory unit from sm_90 on"),
	},
	Toolchain: Toolchain{
		Triton:      code("3.6.0", tritonNV+", the release that this project pins"),
		Backend:     code("cuda", tritonNV),
		Arch:        measured("90", ownCompile+"; the compiler turns it into sm_90a"),
		Artifact:    code("cubin", tritonNV),
		AheadOfTime: measured(true, ownCompile),
	},
	Launch: Launch{
		Call:         code("cuLaunchKernel", "libtriton_jit, CUDA backend"),
		FloatScalars: code(true, tritonNV),
		BytePointers: code(true, tritonNV),
		Registers:    vendor(64<<10, cudaLimits+"; Triton 3.6, maxnreg"),
		Dependent:    vendor(true, "PTX ISA, griddepcontrol: sm_90 and newer; Triton 3.6, language/extra/cuda/gdc.py"),
	},
}

// H20 is a Hopper with a large memory and little arithmetic.
var H20 = H100.like("h20", "NVIDIA H20 96 GB, Hopper: much bandwidth, little arithmetic", func(t *Target) {
	t.Memory.Bytes = reported(96*GB, h20Pages)
	t.Memory.Bandwidth = reported(4.0*TBs, h20Pages)
	t.Memory.L2.forget()
	t.Link.Bandwidth.forget()
	t.Compute = Compute{
		Units: reported(78, h20Pages),
		FP32:  reported(44*TF, h20Pages),
		TF32:  reported(74*TF, h20Pages),
		FP16:  reported(148*TF, h20Pages),
		BF16:  reported(148*TF, h20Pages),
		INT8:  reported(296*TF, h20Pages),
		FP8:   reported(296*TF, h20Pages),
	}
	t.note("37 BF16 operations per byte of bandwidth: decoding turns compute-bound at about 18 tokens",
		"arithmetic on the figures above")
	t.note("a variant of the 141 GB class (H20-3e) is in use; its figures are unknown",
		"FlagOS release reports")
})

// H200 is an H100 with more and faster memory.
var H200 = H100.like("h200",
	"NVIDIA H200 141 GB, Hopper: an H100 with larger and faster memory", func(t *Target) {
		t.Memory = Memory{
			Bytes:     reported(141*GB, h200Pages),
			Bandwidth: reported(4.8*TBs, h200Pages),
			ReadRate:  measured(4590*GBs, ownRun+", a kernel that only reads"),
			CopyRate:  measured(4270*GBs, ownRun+", device-to-device copy"),
		}
		t.Link.Bandwidth = vendor(900*GBs, "NVIDIA H200 data sheet")
		t.Launch.Call = measured("cuLaunchKernelEx", ownRun+", from Go without cgo")
		t.Launch.Queued = measured(Microseconds(3.4), ownRun+", launches queued one by one from Go")
		t.Launch.InGraph = measured(Microseconds(1.03), ownRun+", per node of a graph of 1000 launches")
		t.note("a memory-bound kernel in a chain costs about 2.2 µs and its bytes at 4.3 TB/s", ownRun)
		t.note("a barrier inside a persistent kernel costs 0.9 µs", ownRun)
	})

// B200 is the Blackwell card of HGX systems.
var B200 = H100.like("b200", "NVIDIA B200 192 GB, Blackwell: FP8 and FP4 products", func(t *Target) {
	t.Policy = PolicyNative
	t.Memory = Memory{
		Bytes:     reported(192*GB, b200Pages),
		Usable:    reported(180*GB, b200Pages+"; some listings name this amount"),
		Bandwidth: reported(7.7*TBs, b200Pages+"; listings say 7.7 to 8"),
	}
	t.Link.Bandwidth = reported(1.8*TBs, "xuxaiipc.com of March 2024, parameters of Blackwell servers")
	t.Compute = Compute{
		Units: reported(148, b200Pages),
		FP16:  reported(2250*TF, b200Pages+", stated for BF16"),
		BF16:  reported(2250*TF, b200Pages),
		FP8:   reported(4500*TF, b200Pages),
		FP4:   reported(9000*TF, b200Pages),
	}
	t.Dot.FP8Exact = measured(Works, "this project: a grouped product compiled for sm_100 with triton 3.6.0: tcgen05.mma on e4m3")
	t.Dot.FP4 = code(Native, "Triton's nvidia backend: dot_scaled on e2m1 from sm_100 on")
	t.Dot.Scaled = code(Native, "Triton's nvidia backend from sm_100 on")
	t.OnChip.Bytes = vendor(227*KiB, cudaLimits+", capability 10.0")
	t.Toolchain.Arch = code("100", tritonNV)
	t.Toolchain.AheadOfTime = code(true, untried)
})

// A100 has no FP8. Its compiler is the stand-in for back ends that resemble CUDA.
var A100 = H100.like("a100",
	"NVIDIA A100 SXM 80 GB, Ampere: BF16 and INT8 products, no FP8", func(t *Target) {
		t.Policy = PolicyBF16
		t.Memory = Memory{
			Bytes:     reported(80*GB, klockwood+"/A100"),
			Bandwidth: reported(2.039*TBs, klockwood+"/A100 (printed there as 2.039 GB/s, a slip)"),
			L2:        reported(40*MiB, "device query printed on the PC2 wiki of Paderborn University"),
		}
		t.Link.Bandwidth = reported(600*GBs, klockwood+"/A100")
		t.Compute = Compute{
			Units: reported(108, klockwood+"/A100"),
			FP32:  reported(19.5*TF, klockwood+"/A100"),
			TF32:  reported(156*TF, klockwood+"/A100"),
			FP16:  reported(312*TF, klockwood+"/A100"),
			BF16:  reported(312*TF, klockwood+"/A100"),
			INT8:  reported(624*TF, klockwood+"/A100"),
		}
		for _, dot := range []*Known[Support]{&t.Dot.FP16, &t.Dot.BF16, &t.Dot.INT8} {
			*dot = reported(Native, klockwood+"/A100")
		}
		t.Dot.FP8 = code(None, tritonNV+": fp8e4nv only from capability 89 on")
		t.Dot.FP4 = reported(None, klockwood+"/A100")
		t.OnChip.Bytes = vendor(163*KiB, cudaLimits+", capability 8.0")
		t.Loads.FP8 = code(false, tritonNV+": fp8e4nv only from capability 89 on")
		t.Ops.Clusters = code(Forbidden, tritonNV+": num_ctas above 1 is refused below capability 90")
		t.Ops.Descriptors = code(Slow, tritonNV+": rewritten to plain pointers below sm_90")
		t.Launch.Dependent = vendor(false, "PTX ISA, griddepcontrol: sm_90 and newer")
		t.Toolchain.Arch = code("80", tritonNV)
		t.Toolchain.AheadOfTime = code(true, untried)
	})
