#!/usr/bin/env python3
"""Time kernels on an NVIDIA GPU, and compare what they compute with expected values.

    python3 bench.py KERNELS [--only NAME] [--plan] [--json FILE]

KERNELS is a folder with kernels.json and, for each kernel to time, NAME.bench.json: a list of cases

    {"label": "1024 x 4096", "scalars": {"n": 1024}, "bytes": 4259840,
     "pointers": {"x": {"elements": 4096, "init": "normal", "scale": 1.0},
                  "w": {"elements": 4194304, "init": "normal", "scale": 0.02, "cold": true},
                  "y": {"elements": 1024, "expect": "y.bin"}}}

    init    normal (scale), uniform (low, high; integers without high), constant (value), arange, zero,
            or file (path to raw bytes); without it zero
    cold    copies of this buffer take turns, so that none is left in the L2 cache when its turn comes
    expect  raw bytes that an output must hold; the table then says how many values are equal and how far
            the worst is off, in units in the last place
    bytes   what the kernel must move; without it kernels.json says

Method: the launches of a case are recorded into a CUDA graph, each waiting for the one before, and the graph is
replayed; the time of a launch is the median over replays divided by the number of launches. A memory-bound kernel
in such a chain takes about 2.2 us + bytes / 4.3 TB/s on an H200; the last column is the time over that.
Integers are not specialised, as in kernels compiled ahead of time. --plan prints the cases and needs no GPU.
"""

import argparse
import importlib.util
import json
import os
import statistics

FIXED_US = 2.2
BYTES_PER_US = 4.3e6
CACHES = 3  # cold copies together exceed the L2 cache this many times
MOST_COPIES = 1024  # of buffers so small that they hardly count
COPIED_BYTES = 40 << 30  # of all copies, at most
LAUNCHES = 200  # at least, per graph
REPLAYS = 30

ITEM = {"bf16": 2, "f16": 2, "f32": 4, "e4m3": 1, "i8": 1, "u8": 1, "i32": 4, "i64": 8}


def evaluate(expression, names):
    return int(eval(expression, {"__builtins__": {}, "min": min, "max": max}, names))


class Case:
    def __init__(self, folder, kernel, spec):
        self.folder, self.kernel, self.spec = folder, kernel, spec
        names = dict(kernel["constants"]) | spec.get("scalars", {})
        self.grid = evaluate(kernel["grid"], names)
        self.bytes = spec["bytes"] if "bytes" in spec else evaluate(kernel["bytes"], names)
        self.floor = FIXED_US + self.bytes / BYTES_PER_US
        missing = [p["name"] for p in kernel["params"] if p["name"] not in spec.get("scalars", {}) | spec["pointers"]]
        if missing:
            raise SystemExit(f"{kernel['name']}, {self.label}: no value for {', '.join(missing)}")

    @property
    def label(self):
        return self.spec.get("label", "")

    def cold_bytes(self):
        kinds = {p["name"]: p["dtype"] for p in self.kernel["params"]}
        return sum(v["elements"] * ITEM[kinds[n]] for n, v in self.spec["pointers"].items() if v.get("cold"))

    def copies(self, l2):
        """How many copies of the cold buffers take turns. Of experts a launch reads the chosen ones alone: what it moves
        counts, not how large their buffers are."""
        cold = self.cold_bytes()
        if not cold:
            return 1
        most = max(2, min(MOST_COPIES, COPIED_BYTES // cold))
        return min(-(-CACHES * l2 // max(1, min(cold, self.bytes))) + 1, most)


def read_cases(folder, only):
    with open(os.path.join(folder, "kernels.json")) as f:
        kernels = json.load(f)["kernels"]
    for kernel in kernels:
        path = os.path.join(folder, kernel["name"] + ".bench.json")
        if os.path.exists(path) and only in (None, kernel["name"]):
            with open(path) as f:
                cases = [Case(folder, kernel, spec) for spec in json.load(f)]
            yield from (c for c in cases if c.grid > 0)  # a grid of 0 is not launched


def dtype_of(torch, name):
    names = {"bf16": "bfloat16", "f16": "float16", "f32": "float32", "e4m3": "float8_e4m3fn"}
    names |= {"i8": "int8", "u8": "uint8", "i32": "int32", "i64": "int64"}
    return getattr(torch, names[name])


def make_buffer(torch, folder, param, spec):
    """A buffer on the device with what the case asks for. Random values are fresh on each call."""
    dtype, n, init = dtype_of(torch, param["dtype"]), spec["elements"], spec.get("init", "zero")
    if n == 0:  # a pointer that nothing is read through
        return torch.zeros(1, dtype=torch.uint8, device="cuda").view(torch.uint8)[:0].view(dtype)
    if init == "file":
        with open(os.path.join(folder, spec["path"]), "rb") as f:
            return torch.frombuffer(bytearray(f.read()), dtype=torch.uint8).view(dtype).cuda()
    if init == "zero":
        return torch.zeros(n * ITEM[param["dtype"]], dtype=torch.uint8, device="cuda").view(dtype)
    if init == "arange":
        return torch.arange(n, device="cuda").to(dtype)
    if init == "constant":
        return torch.full((n,), spec["value"], dtype=torch.float32, device="cuda").to(dtype)
    if init == "uniform" and not dtype.is_floating_point:
        info = torch.iinfo(dtype)
        low, high = spec.get("low", info.min), spec.get("high", info.max + 1)
        return torch.randint(low, high, (n,), device="cuda", dtype=torch.int64).to(dtype)
    if init == "uniform":
        values = torch.rand(n, device="cuda") * (spec["high"] - spec["low"]) + spec["low"]
    elif init == "normal":
        values = torch.randn(n, device="cuda") * spec.get("scale", 1.0)
    else:
        raise SystemExit(f"{param['name']}: unknown init {init}")
    if param["dtype"] == "e4m3":
        values = values.clamp(-448, 448)
    return values.to(dtype)


def load_kernel(triton, case):
    name = case.kernel["name"]
    spec = importlib.util.spec_from_file_location(name, os.path.join(case.folder, case.kernel["file"]))
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    scalars = [p["name"] for p in case.kernel["params"] if p["kind"] == "scalar"]
    return triton.jit(getattr(module, name).fn, do_not_specialize=scalars)


def measure(torch, triton, case):
    kernel = load_kernel(triton, case)
    l2 = torch.cuda.get_device_properties(0).L2_cache_size
    copies = case.copies(l2)
    sets = []
    for i in range(copies):
        arguments = []
        for p in case.kernel["params"]:
            if p["kind"] == "scalar":
                arguments.append(case.spec["scalars"][p["name"]])
            elif i == 0:
                arguments.append(make_buffer(torch, case.folder, p, case.spec["pointers"][p["name"]]))
            else:
                first = sets[0][len(arguments)]
                arguments.append(first.clone() if case.spec["pointers"][p["name"]].get("cold") else first)
        sets.append(arguments)

    options = {"num_warps": case.kernel["warps"], "num_stages": case.kernel["stages"]}
    if case.kernel.get("registers"):
        options["maxnreg"] = case.kernel["registers"]
    if case.kernel.get("dependent"):
        options["launch_pdl"] = True

    def launch(i):
        kernel[(case.grid,)](*sets[i % copies], **options)

    launch(0)  # compiles, and its results are what is checked
    torch.cuda.synchronize()
    agreement = check(torch, case, sets[0])

    launches = copies * -(-LAUNCHES // copies)
    stream = torch.cuda.Stream()
    with torch.cuda.stream(stream):
        for i in range(copies):
            launch(i)
    torch.cuda.synchronize()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph, stream=stream):
        for i in range(launches):
            launch(i)
    for _ in range(3):
        graph.replay()
    torch.cuda.synchronize()
    times = []
    for _ in range(REPLAYS):
        begin, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
        begin.record()
        graph.replay()
        end.record()
        end.synchronize()
        times.append(begin.elapsed_time(end) * 1e3 / launches)
    times.sort()
    us = statistics.median(times)
    return {
        "kernel": case.kernel["name"],
        "case": case.label,
        "us": us,
        "us_low": times[len(times) // 10],
        "us_high": times[-1 - len(times) // 10],
        "gb_s": case.bytes / us / 1e3,
        "bytes": case.bytes,
        "ratio": us / case.floor,
        "copies": copies,
        "agreement": agreement,
    }


def check(torch, case, arguments):
    """Equal values and the largest distance in units in the last place, over all outputs with an expectation."""
    said = []
    for p, got in zip(case.kernel["params"], arguments):
        spec = case.spec["pointers"].get(p["name"], {})
        if "expect" not in spec:
            continue
        if spec["elements"] == 0:
            continue
        with open(os.path.join(case.folder, spec["expect"]), "rb") as f:
            want = torch.frombuffer(bytearray(f.read()), dtype=torch.uint8)
        integers = {1: torch.int8, 2: torch.int16, 4: torch.int32, 8: torch.int64}[ITEM[p["dtype"]]]
        a, b = want.view(integers).long(), got.cpu().view(torch.uint8).view(integers).long()
        if p["dtype"] in ("bf16", "f16", "f32", "e4m3"):
            # Bits of sign and magnitude, as numbers in the order of the values; both zeros are 0.
            low = -(1 << (8 * ITEM[p["dtype"]] - 1))
            a, b = (torch.where(v < 0, low - v, v) for v in (a, b))
        away = (a - b).abs()
        said.append(f"{p['name']} {100 * (away == 0).double().mean():.2f} % equal, worst {int(away.max())} ulp")
    return "; ".join(said)


def print_table(rows):
    print(f"{'kernel':28} {'case':20} {'us':>8} {'spread':>13} {'GB/s':>7} {'ratio':>6}")
    for r in rows:
        spread = f"{r['us_low']:.2f}-{r['us_high']:.2f}"
        line = f"{r['kernel']:28} {r['case']:20} {r['us']:8.2f} {spread:>13} {r['gb_s']:7.0f} {r['ratio']:6.2f}"
        print(line + (f"  {r['agreement']}" if r["agreement"] else ""))


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("kernels")
    parser.add_argument("--only", help="time this kernel alone")
    parser.add_argument("--plan", action="store_true", help="print the cases; needs no GPU")
    parser.add_argument("--json", help="write all figures to this file")
    options = parser.parse_args()
    cases = list(read_cases(options.kernels, options.only))
    if options.plan:
        for c in cases:
            cold = f"{c.cold_bytes()} of them cold" if c.cold_bytes() else "nothing cold"
            print(f"{c.kernel['name']}, {c.label}: grid {c.grid}, {c.bytes} bytes, {cold}, floor {c.floor:.2f} us")
        return

    import torch
    import triton

    torch.manual_seed(0)
    rows = []
    for c in cases:
        try:
            rows.append(measure(torch, triton, c))
        except Exception as error:  # one kernel that fails must not cost the others their turn on the device
            print(f"{c.kernel['name']}, {c.label}: {type(error).__name__}: {error}", flush=True)
    print(torch.cuda.get_device_name(0))
    print_table(rows)
    if options.json:
        with open(options.json, "w") as f:
            json.dump(rows, f, indent=1)


if __name__ == "__main__":
    main()
