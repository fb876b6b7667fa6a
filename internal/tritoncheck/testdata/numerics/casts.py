import triton
import triton.language as tl


@triton.jit
def narrow(x, b, q, h, BLOCK: tl.constexpr = 4096):
    """b, q, h = x as bf16, e4m3 and f16."""
    at = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    v = tl.load(x + at)
    tl.store(b + at, v.to(tl.bfloat16))
    tl.store(q + at, v.to(tl.float8e4nv))
    tl.store(h + at, v.to(tl.float16))


@triton.jit
def widen(q, b, q_f32, q_bf16, b_f32, b_e4m3, BLOCK: tl.constexpr = 4096):
    """What e4m3 and bf16 codes stand for, and bf16 rounded to e4m3."""
    at = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    tl.store(q_f32 + at, tl.load(q + at).to(tl.float32))
    tl.store(q_bf16 + at, tl.load(q + at).to(tl.bfloat16))
    tl.store(b_f32 + at, tl.load(b + at).to(tl.float32))
    tl.store(b_e4m3 + at, tl.load(b + at).to(tl.float8e4nv))


@triton.jit
def arithmetic(x, y, total, product, larger, chosen, count, BLOCK: tl.constexpr = 4096):
    """bf16 in, bf16 out, one rounding each."""
    at = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    a = tl.load(x + at)
    b = tl.load(y + at)
    tl.store(total + at, a + b)
    tl.store(product + at, a * b)
    tl.store(larger + at, tl.maximum(a, b))
    tl.store(chosen + at, tl.where((a < b) & (b > 0.0), a, b))
    tl.store(count + tl.program_id(0), tl.sum((a < b).to(tl.int32), 0))


@triton.jit
def dots(x, y, q, r, bf16, e4m3, f32, sums, M: tl.constexpr = 16, K: tl.constexpr = 64):
    """x y^T of bf16 and q r^T of e4m3; the first again from float32 operands; row sums of bf16 x."""
    m = tl.arange(0, M)
    k = tl.arange(0, K)
    at = m[:, None] * K + k[None, :]
    out = m[:, None] * M + m[None, :]
    a = tl.load(x + at)
    b = tl.load(y + at)
    tl.store(bf16 + out, tl.dot(a, tl.trans(b)))
    tl.store(e4m3 + out, tl.dot(tl.load(q + at), tl.trans(tl.load(r + at))))
    tl.store(f32 + out, tl.dot(a.to(tl.float32), tl.trans(b.to(tl.float32)), input_precision="ieee"))
    tl.store(sums + m, tl.sum(a, 1))
