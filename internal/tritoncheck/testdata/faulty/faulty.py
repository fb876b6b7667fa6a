"""Kernels with one mistake each."""

import triton
import triton.language as tl


@triton.jit
def no_mask(x, y, n, BLOCK: tl.constexpr = 64):
    at = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    v = tl.load(x + at)
    tl.store(y + at, v, mask=at < n)


@triton.jit
def store_beyond(x, y, n, BLOCK: tl.constexpr = 64):
    at = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    v = tl.load(x + at, mask=at < n)
    tl.store(y + at, v)


@triton.jit
def before_start(x, y, n, BLOCK: tl.constexpr = 64):
    at = tl.arange(0, BLOCK)
    tl.store(y + at, tl.load(x + at - 1, mask=at < n), mask=at < n)


@triton.jit
def writes_input(x, y, n, BLOCK: tl.constexpr = 64):
    at = tl.arange(0, BLOCK)
    tl.store(x + at, tl.load(x + at, mask=at < n), mask=at < n)


@triton.jit
def reads_output(x, y, n, BLOCK: tl.constexpr = 64):
    at = tl.arange(0, BLOCK)
    tl.store(y + at, tl.load(x + at, mask=at < n) + tl.load(y + at, mask=at < n), mask=at < n)


@triton.jit
def sums_masked_lanes(x, y, n, BLOCK: tl.constexpr = 64):
    at = tl.arange(0, BLOCK)
    tl.store(y, tl.sum(tl.load(x + at, mask=at < n), 0))


@triton.jit
def index_overflow(x, y, n, BLOCK: tl.constexpr = 64):
    at = n * 131072 * 4096 + tl.arange(0, BLOCK)
    tl.store(y + tl.arange(0, BLOCK), tl.load(x + at, mask=at < n), mask=at < n)


@triton.jit
def waits_forever(x, y, n, BLOCK: tl.constexpr = 64):
    while tl.load(x, volatile=True) == 0.0:
        pass
    tl.store(y, 1.0)


@triton.jit
def order_matters(x, y, n, BLOCK: tl.constexpr = 64):
    tl.store(y, tl.program_id(0).to(tl.float32))


@triton.jit
def relies_on_other(x, y, n, BLOCK: tl.constexpr = 64):
    at = tl.arange(0, BLOCK)
    tl.store(y, tl.sum(tl.load(x + at, mask=at < n, other=0.0), 0))
