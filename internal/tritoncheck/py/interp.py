"""Run kernels under Triton's interpreter, one case after another, in one process.

Protocol, on standard input and output: a case is one line of JSON, then the bytes of its pointer arguments in
order; the answer is one line of JSON, then, when the kernel ran, the bytes of the out and inout arguments.

    {"file": "k.py", "kernel": "k", "grid": 8, "reverse": false, "concurrent": false, "ignore_other": false,
     "constants": {"D": 64},
     "args": [{"name": "x", "kind": "pointer", "dtype": "bf16", "access": "in", "bytes": 128},
              {"name": "n", "kind": "scalar", "dtype": "i32", "value": 3}]}
    {"ok": true, "seconds": 0.01}
    {"ok": false, "error": "load outside x, ...", "kind": "AccessError", "program": 3, "line": 27}
"""

import os

os.environ["TRITON_INTERPRET"] = "1"  # read when kernels are decorated

import hashlib
import importlib.util
import json
import linecache
import sys
import threading
import time

import numpy as np
import triton.language as tl
from triton.runtime import interpreter as ti

import memory
import numerics

DTYPES = {
    "bf16": tl.bfloat16,
    "f16": tl.float16,
    "f32": tl.float32,
    "e4m3": tl.float8e4nv,
    "i8": tl.int8,
    "u8": tl.uint8,
    "i32": tl.int32,
    "i64": tl.int64,
}

current_memory = None
modules = {}


class Sequential:
    """Programs one after the other: fast, and enough for kernels that wait for nobody."""

    def __init__(self, grid, order):
        self.grid, self.order = grid, order
        self.program = None

    def run(self, body):
        for self.program in self.order:
            ti.interpreter_builder.set_grid_idx(self.program, 0, 0)
            body()

    def give_way(self):
        pass


class Concurrent:
    """All programs at once, in threads that take turns: one runs until its next atomic or volatile load. A
    barrier of the whole grid, or a wait for another program, works as on a device that holds the grid."""

    def __init__(self, grid, order):
        self.grid, self.waiting = grid, list(order)
        self.turn = {p: threading.Semaphore(0) for p in order}
        self.local = threading.local()
        self.failed = None
        self.done = threading.Event()

    @property
    def program(self):
        return self.failed[0] if self.failed else None

    def run(self, body):
        threads = [threading.Thread(target=self.work, args=(p, body), daemon=True) for p in self.waiting]
        for t in threads:
            t.start()
        self.next()
        self.done.wait()
        if self.failed:
            # The others wait for turns that never come; end them before memory goes away.
            for p in list(self.waiting):
                self.turn[p].release()
        for t in threads:
            t.join()
        if self.failed:
            raise self.failed[1]

    def next(self):
        if self.waiting and not self.failed:
            p = self.waiting.pop(0)
            ti.interpreter_builder.set_grid_idx(p, 0, 0)
            self.turn[p].release()
        else:
            self.done.set()

    def work(self, p, body):
        self.local.program = p
        self.turn[p].acquire()
        try:
            if not self.failed:
                body()
        except BaseException as e:  # handed to the thread that waits in run
            self.failed = self.failed or (p, e)
        self.next()

    def give_way(self):
        p = self.local.program
        self.waiting.append(p)
        self.next()
        self.turn[p].acquire()
        if self.failed:
            raise SystemExit


schedule = None


def load_kernel(path, name):
    with open(path, "rb") as f:
        key = hashlib.sha256(f.read()).hexdigest()
    if (path, key) not in modules:
        linecache.checkcache(path)
        spec = importlib.util.spec_from_file_location(f"kernel_{key[:16]}", path)
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        modules[path, key] = module
    return getattr(modules[path, key], name)


def tensor(data, dtype):
    return tl.core.tensor(ti.TensorHandle(data, dtype), dtype)


def argument(arg, mem, index):
    dtype = DTYPES[arg["dtype"]]
    if arg["kind"] == "pointer":
        return tensor(np.array([mem.base(index)], np.uint64), tl.pointer_type(dtype))
    if dtype.is_floating():
        return tensor(*(lambda h: (h.data, dtype))(numerics.encode(np.array([arg["value"]], np.float32), dtype)))
    return tensor(np.array([arg["value"]], ti._get_np_dtype(dtype)), dtype)


def run(case, buffers):
    global current_memory, schedule
    kernel = load_kernel(case["file"], case["kernel"])
    current_memory = memory.Memory(buffers, case.get("ignore_other", False))
    index, values = 0, {}
    for arg in case["args"]:
        values[arg["name"]] = argument(arg, current_memory, index)
        index += arg["kind"] == "pointer"
    values.update(case.get("constants") or {})
    names = list(kernel.arg_names)
    given = [a["name"] for a in case["args"]]
    if names[: len(given)] != given:
        raise TypeError(f"{case['kernel']} takes {', '.join(names)}; the case gives {', '.join(given)}")
    # The function as the interpreter rewrites it; calling it here instead of through the interpreter's own
    # launcher keeps the declared types of scalars and needs no tensor library.
    body = kernel.rewrite()
    grid = case["grid"]
    order = range(grid - 1, -1, -1) if case.get("reverse") else range(grid)
    schedule = (Concurrent if case.get("concurrent") else Sequential)(grid, order)
    ti.interpreter_builder.set_grid_dim(grid, 1, 1)
    schedule.run(quiet(lambda: body(**values)))


def quiet(body):
    """Without numpy's warnings: integers wrap and infinities arise, as on a device."""

    def wrapped():  # the setting belongs to the thread
        with np.errstate(all="ignore"):
            body()

    return wrapped


def place(error, path):
    """The innermost line of the kernel's file that the error went through, and the first cause."""
    line, root, e = None, error, error
    while e is not None:
        tb = e.__traceback__
        while tb is not None:
            if tb.tb_frame.f_code.co_filename == path:
                line = tb.tb_lineno
            tb = tb.tb_next
        root, e = e, e.__cause__
    return line, root


def main():
    numerics.repair()
    numerics.interpret_everywhere()
    memory.install(lambda: current_memory, lambda: schedule.give_way())
    # What a kernel prints must not end up between the answers.
    source, sink = sys.stdin.buffer, os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    while line := source.readline():
        case = json.loads(line)
        buffers = []
        for arg in case["args"]:
            if arg["kind"] == "pointer":
                data = source.read(arg["bytes"])
                buffers.append(memory.Buffer(arg["name"], arg["dtype"], arg["access"], data))
        began = time.perf_counter()
        try:
            run(case, buffers)
            answer = {"ok": True, "seconds": time.perf_counter() - began}
        except Exception as error:
            at, root = place(error, case["file"])
            answer = {"ok": False, "error": str(root) or repr(root), "kind": type(root).__name__, "line": at}
            answer["program"] = schedule.program if schedule else None
        sink.write(json.dumps(answer).encode() + b"\n")
        if answer["ok"]:
            for b in buffers:
                if b.access != "in":
                    sink.write(b.data.tobytes())
        sink.flush()


if __name__ == "__main__":
    main()
