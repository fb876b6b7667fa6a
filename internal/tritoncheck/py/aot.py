"""Compile kernels ahead of time with upstream Triton, without a GPU and without a driver.

A request is {"file", "name", "params", "constants", "warps", "stages", "device": {"backend", "arch", "warp_size"}};
the answer has ok, seconds, resources and launch metadata, or an error, and is followed by the cubin or hsaco.
"""

import contextlib
import io
import os
import re
import shutil
import tempfile
import time

# Own folder and no reuse: results are kept by content elsewhere, and only a real run of ptxas tells registers.
CACHE = tempfile.mkdtemp(prefix="triton-")
os.environ["TRITON_CACHE_DIR"] = CACHE
os.environ["TRITON_ALWAYS_COMPILE"] = "1"
# Objects must not hold the path of the source: two builds of the same kernel are the same bytes.
os.environ["TRITON_DISABLE_LINE_INFO"] = "1"

import triton
from triton import knobs
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource

import kernels

LAUNCH = [
    "name",
    "shared",
    "num_warps",
    "num_ctas",
    "global_scratch_size",
    "global_scratch_align",
    "profile_scratch_size",
    "profile_scratch_align",
    "launch_pdl",
    "launch_cooperative_grid",
    "tmem_size",
    "triton_version",
]


def number(pattern, text):
    found = re.search(pattern, text)
    return int(found.group(1)) if found else 0


def nvidia_resources(log):
    """From ptxas -v, the last function in the log being the kernel."""
    return {
        "registers": number(r"Used (\d+) registers", log),
        "spill_bytes": number(r"(\d+) bytes spill stores", log) + number(r"(\d+) bytes spill loads", log),
        "stack_bytes": number(r"(\d+) bytes stack frame", log),
    }


def amd_resources(asm):
    """From the metadata note of the assembly. A spilled register is one of 4 bytes in each of 64 lanes; the count
    of registers is reported as bytes of one lane so that both vendors read alike."""
    vgpr, sgpr = number(r"\.vgpr_spill_count:\s*(\d+)", asm), number(r"\.sgpr_spill_count:\s*(\d+)", asm)
    return {
        "registers": number(r"\.vgpr_count:\s*(\d+)", asm),
        "spill_bytes": 4 * (vgpr + sgpr),
        "stack_bytes": number(r"\.private_segment_fixed_size:\s*(\d+)", asm),
    }


def compile_one(request):
    kernel = kernels.load(request["file"], request["name"])
    kernels.check_parameters(kernel, request)
    pointers = [i for i, p in enumerate(request["params"]) if p["kind"] == "pointer"]
    attrs = {(i,): [["tt.divisibility", kernels.ALIGNMENT]] for i in pointers}
    source = ASTSource(kernel, kernels.signature(request), constexprs=request["constants"], attrs=attrs)
    device = request["device"]
    arch = int(device["arch"]) if device["backend"] == "cuda" else device["arch"]
    target = GPUTarget(device["backend"], arch, device["warp_size"])
    options = {"num_warps": request["warps"], "num_stages": request["stages"]}
    if request.get("registers"):
        options["maxnreg"] = request["registers"]
    if request["dependent"]:
        options["launch_pdl"] = True
    log = io.StringIO()
    with contextlib.redirect_stdout(log):
        compiled = triton.compile(source, target=target, options=options)
    metadata = compiled.metadata._asdict()
    launch = {key: metadata[key] for key in LAUNCH if key in metadata}
    launch["target"] = device
    if device["backend"] == "cuda":
        resources, binary = nvidia_resources(log.getvalue()), compiled.asm["cubin"]
    else:
        resources, binary = amd_resources(compiled.asm["amdgcn"]), compiled.asm["hsaco"]
    return {"shared": metadata["shared"], "launch": launch, **resources}, binary


def answer(request):
    began = time.perf_counter()
    log = io.StringIO()
    try:
        with contextlib.redirect_stdout(log):
            result, binary = compile_one(request)
        result["ok"] = True
    except Exception as error:
        result, binary = {"ok": False, "error": kernels.short(error, request)}, b""
    finally:
        for entry in os.listdir(CACHE):
            shutil.rmtree(os.path.join(CACHE, entry), ignore_errors=True)
    result["seconds"] = time.perf_counter() - began
    return result, binary


if __name__ == "__main__":
    knobs.nvidia.dump_ptxas_log = True
    try:
        kernels.serve(answer)
    finally:
        shutil.rmtree(CACHE, ignore_errors=True)
