package targets

// Sources that several facts share.
const (
	corexPage    = "public page on CoreX devices"
	corexBackend = "FlagTree and FlagGems, iluvatar backend"
)

// BIV150 is one of the devices that the driver lists for the card of architecture ivcore11.
var BIV150 = Target{
	Name:   "bi-v150",
	Doc:    "Iluvatar BI-V150 (ivcore11), 32 GB per device: warps of 64, BF16 and INT8 products, no FP8",
	Vendor: "Iluvatar",
	Tier:   Interpreted,
	Policy: PolicyW4A16, // the memory of one device is that of a 32 GB card
	Memory: Memory{Bytes: reported(32*GiB, corexPage+"; 16 devices in a host")},
	Dot: Dot{
		FP32: code(Native, corexBackend),
		TF32: code(Native, corexBackend),
		FP16: code(Native, corexBackend+", 16x16x16"),
		BF16: code(Native, corexBackend),
		INT8: code(Native, corexBackend+", 16x16x32 into int32"),
		FP8:  code(None, "CoreX has no FP8 type in its libraries; FlagDNN skips every such case"),
		FP4:  code(None, "CoreX has no FP8 or MXFP type in its libraries"),
	},
	OnChip: OnChip{
		Kind:  code(Shared, corexBackend),
		Bytes: reported(128*KiB, corexPage),
	},
	Warps: Warps{Width: reported(64, corexPage)},
	Loads: Loads{
		MasksCostly: code(true, "FlagGems-vllm, iluvatar backend: masks about double a bf16 dot loop"),
		FP8:         code(false, corexBackend+": declared, in software only"),
		Alignment: code(Bytes(128),
			corexBackend+": recommended for global rows; 16 is what block copies need"),
	},
	Ops: Ops{
		FP64:   code(Forbidden, "FlagGems, iluvatar backend, switches it off"),
		Sort:   code(Forbidden, "FlagGems #6114: crashes at start-up"),
		Cumsum: code(Forbidden, "FlagGems #6114: crashes at start-up"),
	},
	Toolchain: Toolchain{
		Triton:   code("3.1.0+corex.4.4.0", "FlagGems, table of backend wheels; a fork of 3.6 follows"),
		Backend:  code("cuda", corexBackend+"; the fork of 3.6 says corex"),
		Arch:     code("71", corexBackend+"; ivcore11 in the fork of 3.6"),
		Artifact: code("cubin", "libtriton_jit, IX backend: an ELF file of CoreX"),
		StandIn:  derived("sm_80", "CUDA-like, with warps of 32 instead of 64"),
	},
	Launch: Launch{Call: code("cuLaunchKernel", "libtriton_jit, IX backend, through CoreX' libcuda.so.1")},
	Notes: []Note{
		{"the card is sold with two dies; its total memory is not sourced", corexPage},
		{"with a cold cache the first run gave wrong results: compile beforehand, discard first tunings",
			"FlagGems #6420"},
		{"16 and 32 warps must be left out for some kernels", "FlagGems #4122"},
		{"in attention add -1e30 to scores instead of masking loads", corexBackend},
		{"FlagOS serves DeepSeek-V4 in BF16", "FlagOS release cards"},
	},
}

// BIV100 is the older card of architecture ivcore10.
var BIV100 = BIV150.like("bi-v100",
	"Iluvatar BI-V100 (ivcore10) 32 GB: older than the BI-V150, another instruction set", func(t *Target) {
		t.Memory = Memory{
			Bytes:     reported(32*GB, "geektopia"),
			Bandwidth: reported(1.2*TBs, "geektopia"),
		}
		t.Compute = Compute{
			FP16: reported(147*TF, "geektopia"),
			BF16: reported(147*TF, "geektopia"),
			INT8: reported(295*TF, "geektopia"),
		}
		t.Dot = Dot{
			FP16: reported(Native, "geektopia"),
			BF16: reported(Native, "geektopia"),
			INT8: reported(Native, "geektopia"),
		}
		t.OnChip.Bytes.forget()
		t.Warps.Width.forget()
		t.Loads = Loads{}
		t.Ops = Ops{}
		t.Toolchain = Toolchain{}
		t.Notes = nil
	})
