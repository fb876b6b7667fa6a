"""What the compiling checks share: loading a kernel's file, naming its types, answering requests."""

import hashlib
import importlib.util
import json
import os
import sys

# Triton's names of the types that parameters have.
TYPES = {
    "bf16": "bf16",
    "f16": "fp16",
    "f32": "fp32",
    "e4m3": "fp8e4nv",
    "i8": "i8",
    "u8": "u8",
    "i32": "i32",
    "i64": "i64",
}

# What a launcher promises about every pointer.
ALIGNMENT = 16


def load(path, name):
    """The kernel of that name; Triton reads its source from the file again."""
    with open(path, "rb") as f:
        key = hashlib.sha256(f.read()).hexdigest()
    spec = importlib.util.spec_from_file_location(f"kernel_{key[:16]}", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return getattr(module, name)


def signature(request):
    """Names to Triton types; integers stay arguments whatever their value, constants are compiled in."""
    types = {}
    for p in request["params"]:
        types[p["name"]] = ("*" if p["kind"] == "pointer" else "") + TYPES[p["dtype"]]
    return types | {name: "constexpr" for name in request["constants"]}


def check_parameters(kernel, request):
    given = [p["name"] for p in request["params"]]
    takes = list(kernel.arg_names)
    if takes[: len(given)] != given or sorted(takes[len(given) :]) != sorted(request["constants"]):
        names = ", ".join(given + list(request["constants"]))
        raise TypeError(f"{request['name']} takes {', '.join(takes)}; kernels.json gives {names}")


def short(error, request):
    """What went wrong in one line: where in the kernel's file, and the last cause without source excerpts."""
    place = ""
    while True:
        node, source = getattr(error, "node", None), getattr(error, "src", None)
        if node is not None and source:
            place = f"line {first_line(request['file'], source) + node.lineno - 1}: "
        if error.__cause__ is None:
            break
        error = error.__cause__
    text = str(getattr(error, "error_message", None) or error)
    lines = [s.strip() for s in text.splitlines()]
    lines = [s for s in lines if s.strip("^~ ")] or [repr(error)]
    picked = next((s for s in lines if "error:" in s), lines[-1])
    return f"{place}{type(error).__name__}: {picked[:300]}"


def first_line(path, source):
    """The line of the file where the text of a function begins; 1 when it comes from another file."""
    with open(path) as f:
        text = f.read()
    at = text.find(source.strip())
    return text.count("\n", 0, at) + 1 if at >= 0 else 1


def serve(answer_one):
    """Answer lines of JSON with lines of JSON; answer_one returns a dict and the bytes that follow it."""
    source, sink = sys.stdin.buffer, os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # whatever compilers print must not end up between the answers
    while line := source.readline():
        answer, data = answer_one(json.loads(line))
        sink.write(json.dumps(answer | {"bytes": len(data)}).encode() + b"\n" + data)
        sink.flush()
