"""Accesses that are no blocks of memory."""

import triton
import triton.language as tl


@triton.jit
def gather(x, idx, y, n, B: tl.constexpr = 64):
    at = tl.arange(0, B)
    i = tl.load(idx + at)
    tl.store(y + at, tl.load(x + i, mask=i >= 0, other=0.0))


@triton.jit
def scatter(x, idx, y, n, B: tl.constexpr = 64):
    at = tl.arange(0, B)
    i = tl.load(idx + at)
    tl.store(y + i, tl.load(x + at), mask=i >= 0)


@triton.jit
def masked_by_data(x, idx, y, n, B: tl.constexpr = 64):
    at = tl.arange(0, B)
    i = tl.load(idx + at)
    tl.store(y + at, tl.load(x + at), mask=i >= 0)


@triton.jit
def strided(x, idx, y, n, B: tl.constexpr = 64):
    at = tl.arange(0, B)
    tl.store(y + at, tl.load(x + at * n))


@triton.jit
def swapped(x, idx, y, n, B: tl.constexpr = 64):
    at = tl.arange(0, B)
    tl.store(y + at, tl.load(x + (at // 2) * 2 + 1 - at % 2))


@triton.jit
def scatter_rows(x, idx, y, n, B: tl.constexpr = 64):
    at = tl.arange(0, B)
    i = tl.load(idx + at)
    d = tl.arange(0, 32)
    tl.store(y + i[:, None] * 32 + d[None, :], tl.load(x + at[:, None] * 32 + d[None, :]), mask=(i >= 0)[:, None])


@triton.jit
def repeated(x, idx, y, n, B: tl.constexpr = 64):
    at = tl.arange(0, B)
    tl.store(y + at, tl.load(x + at // 4))


@triton.jit
def wrapped(x, idx, y, n, B: tl.constexpr = 64):
    at = tl.arange(0, B)
    tl.store(y + at, tl.load(x + at % 16, mask=at < n, other=0.0))


@triton.jit
def gather_strided_rows(x, idx, y, n, B: tl.constexpr = 64):
    at = tl.arange(0, B)
    d = tl.arange(0, 32)
    i = tl.load(idx + at)
    tl.store(y + at[:, None] * 32 + d[None, :], tl.load(x + i[:, None] * 32 + d[None, :] * 2))


@triton.jit
def atomics(x, idx, y, n, B: tl.constexpr = 64):
    at = tl.arange(0, B)
    i = tl.load(idx + at)
    tl.atomic_add(y + i, 1.0)
