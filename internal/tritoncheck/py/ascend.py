"""Lower kernels for Ascend with Huawei's public front end: Triton 3.2 to Triton IR, then to the Linalg form that
the closed compiler of the NPU takes. Neither an NPU nor its tool chain is needed.

A request is {"file", "name", "params", "constants"}; the answer has ok, mix_mode, what stayed discrete and what is
dangerous there, or an error, and is followed by the Linalg text.
"""

import os
import re
import subprocess
import tempfile
import time
import types

from triton._C.libtriton import ir, passes
from triton.backends import ascend
from triton.compiler import ASTSource
from triton.compiler.code_generator import ast_to_ttir

import kernels

ADAPTER = os.path.join(os.path.dirname(ascend.__file__), "triton-adapter-opt")

# What the front end reads from the options of its own back end, as that has them for the 910B and 910C.
OPTIONS = types.SimpleNamespace(
    debug=False,
    sanitize_overflow=False,
    allowed_dot_input_precisions=("ieee", "hf32"),
    default_dot_input_precision="ieee",
    max_num_imprecise_acc_default=0,
    supported_fp8_dtypes=(),
    deprecated_fp8_dtypes=(),
    allow_fp8e4nv=False,
    extern_libs=None,
    arch="Ascend910B",
    backend_name="npu",
    num_warps=4,
    num_ctas=1,
    num_stages=1,
    enable_fp_fusion=True,
)

GENERATION = "compile-on-910-95=False"  # the 910B and 910C, not the generation after them
ADAPTER_PASSES = [
    f"--discrete-mask-access-conversion={GENERATION} force-simt-template=False",
    "--triton-to-annotation",
    f"--triton-to-unstructure={GENERATION} force-simt-template=False",
    "--triton-to-hivm",
    "--triton-to-hfusion",
    "--triton-to-llvm",
    "--bubble-up-operation",
    "--triton-to-linalg=global-kernel=false named-ops=True enable-nd2nz-on-vector=False "
    f"enable-select-analysis=True {GENERATION}",
    "--mlir-print-debuginfo",
]


def triton_ir(request):
    kernel = kernels.load(request["file"], request["name"])
    kernels.check_parameters(kernel, request)
    source = ASTSource(fn=kernel, signature=kernels.signature(request), constants=request["constants"])
    context = ir.context()
    ir.load_dialects(context)
    module = ast_to_ttir(kernel, source, context, OPTIONS, {"min_dot_size": lambda a, b: (1, 1, 1)}, {})
    pm = ir.pass_manager(context)
    passes.common.add_inliner(pm)
    passes.ttir.add_combine(pm)
    passes.common.add_canonicalizer(pm)
    passes.ttir.add_reorder_broadcast(pm)
    passes.common.add_cse(pm)
    passes.common.add_licm(pm)
    passes.common.add_symbol_dce(pm)
    passes.ttir.add_loop_unroll(pm)
    pm.run(module)
    # Without the folder: the same kernel elsewhere is the same text.
    return str(module).replace(os.path.dirname(request["file"]) + os.sep, "")


def linalg(text):
    with tempfile.TemporaryDirectory() as folder:
        source, result = os.path.join(folder, "in.mlir"), os.path.join(folder, "out.mlir")
        with open(source, "w") as f:
            f.write(text)
        done = subprocess.run([ADAPTER, source, *ADAPTER_PASSES, "-o", result], capture_output=True, text=True)
        if done.returncode != 0:
            raise RuntimeError(adapter_error(done))
        with open(result) as f:
            return f.read()


def adapter_error(done):
    found = re.search(r"(?:\"[^\"]*\":(\d+):\d+\)?)?:? *error: (.*)", done.stderr)
    if not found:
        return (done.stderr.strip().splitlines() or [f"triton-adapter-opt ended with {done.returncode}"])[-1][:300]
    return (f"line {found[1]}: " if found[1] else "") + found[2][:300]


class Text:
    """The lines of a Linalg module and what they say about where they came from."""

    def __init__(self, text, file):
        self.places = dict(re.findall(r"^(#loc\d*) = loc\((.*)\)$", text, re.M))
        self.file = os.path.basename(file)
        self.lines = []
        for line in text.splitlines():
            if not line.startswith("#loc"):
                place = re.search(r" loc\((#loc\d*|\".*?\":\d+:\d+)\)$", line)
                self.lines.append((line[: place.start()] if place else line, place[1] if place else ""))

    def line_of(self, place, depth=0):
        """The line in the kernel's file that a location leads to, through names and inlined calls; 0 if none."""
        hit = re.search(rf'"{re.escape(self.file)}":(\d+):', place)
        if hit:
            return int(hit[1])
        for alias in re.findall(r"#loc\d*", place):
            if depth < 20 and (line := self.line_of(self.places.get(alias, ""), depth + 1)):
                return line
        return 0


STRIDES = re.compile(r"memref\.reinterpret_cast .* sizes: \[([^]]+)\], strides: \[([^]]+)\]")


def discrete(text):
    """Accesses that became loops over single elements, or over rows where rows are contiguous: each turn of such a
    loop moves `elements` of them, and there are `times` turns. And those whose last axis is not contiguous."""
    constants = {n: int(v) for line, _ in text.lines for n, v in re.findall(r"(%\w+) = arith.constant (-?\d+) : index", line)}
    found, stack = [], []
    for i, (line, place) in enumerate(text.lines):
        line = line.strip()
        if strided := STRIDES.search(line):
            size, stride = (shape.split(", ")[-1] for shape in strided.groups())
            if size != "1" and stride != "1":
                found.append({"kind": "strided", "times": 1, "elements": int(size), "line": text.line_of(place)})
        if line.startswith("}") and stack:
            begin, turns, inner = stack.pop()
            if "ExtractedLoadOrStore" in line:
                for _, _, outer in stack:
                    outer.append(True)
                if not inner:  # the innermost of nested loops holds the access
                    nest = [t for _, t, _ in stack if t] if turns else []
                    found.append(access(text, begin, i, turns, nest, place))
        if line.endswith("{"):
            loop = re.search(r"scf\.for %\w+ = (%\w+) to (%\w+) step (%\w+)", line)
            bounds = [constants.get(n) for n in loop.groups()] if loop else [None]
            turns = 0 if None in bounds else -(-(bounds[1] - bounds[0]) // bounds[2])
            stack.append((i, turns, []))
    return found


def access(text, begin, end, turns, nest, place):
    body = "\n".join(line for line, _ in text.lines[begin:end])
    sizes = re.search(r"sizes: \[([\d, ]+)\]", body)
    elements = 1
    for n in re.findall(r"\d+", sizes[1] if sizes else ""):
        elements *= int(n)
    if "GenericAtomic" in body:
        kind = "atomic"
    elif "materialize_in_destination" in body:
        kind = "store"
    else:
        kind = "load"
    line = text.line_of(place)
    for _, inner in text.lines[begin:end]:
        line = line or text.line_of(inner)
    # Loops around it count when they were made for the same access: the kernel's own have bounds in i32.
    for n in nest:
        turns *= n
    return {"kind": kind, "times": turns, "elements": elements, "line": line}


def hazards(text):
    """What lowers without complaint and yet does not mean what the kernel says."""
    found = []
    copies, tensors, selects, filled, memory = {}, {}, {}, set(), []
    for i, (line, place) in enumerate(text.lines):
        line = line.strip()
        if m := re.match(r"memref\.copy (%\w+), (%\w+) ", line):
            copies[m[2]] = m[1]
            filled.add(m[2])
        elif m := re.match(r"(%\w+) = memref\.alloc\(", line):
            memory.append((m[1], place))
        elif m := re.match(r"(%\w+) = bufferization\.to_tensor (%\w+)", line):
            tensors[m[1]] = m[2]
        elif m := re.match(r"(%\w+) = arith\.select %\w+, (%\w+), (%\w+)", line):
            selects[m[1]] = m[2], m[3]
        elif m := re.match(r"(%\w+) = memref\.subview (%\w+)", line):
            filled.add(m[2])
        elif m := re.match(r"bufferization\.materialize_in_destination (%\w+) in writable (%\w+)", line):
            filled.add(m[2])
            if m[2] in [copies.get(tensors.get(v)) for v in selects.get(m[1], ())]:
                lost = "a store under a mask from data rewrites the masked lanes too: what others write there is lost"
                found.append((place, lost))
        elif "GenericAtomicRMW" in line and (m := re.search(r"outs\((%\w+)", line)):
            if m[1] in copies.values():
                # An operation with a region has its place behind the closing brace.
                place = next(p for s, p in text.lines[i:] if s.strip().startswith("}"))
                found.append((place, "the value that an atomic returns is read by a copy of its own before it"))
        elif m := re.search(r"outs\((%\w+)", line):
            filled.add(m[1])
    for name, place in memory:
        if name in tensors.values() and name not in filled:
            found.append((place, "a load became a buffer that nothing fills: wrong values"))
    return [{"line": text.line_of(place), "what": what} for place, what in found]


def lower(request):
    result = linalg(triton_ir(request))
    text = Text(result, request["file"])
    mode = re.search(r'mix_mode = "(\w+)"', result)
    return {"ok": True, "mix_mode": mode[1] if mode else "", "discrete": discrete(text), "hazards": hazards(text)}, result


def answer(request):
    began = time.perf_counter()
    try:
        result, text = lower(request)
    except Exception as error:
        result, text = {"ok": False, "error": kernels.short(error, request)}, ""
    result["seconds"] = time.perf_counter() - began
    return result, text.encode()


if __name__ == "__main__":
    kernels.serve(answer)
