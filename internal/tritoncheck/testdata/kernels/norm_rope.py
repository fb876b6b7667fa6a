import triton
import triton.language as tl


@triton.jit
def norm_rope(x, weight, cos, sin, y, z, rows, eps, D: tl.constexpr = 64, R: tl.constexpr = 64):
    """Section 0: y = rope(rms_norm(x) weight) over pairs; section 1: z = log of the softmax sum of each row."""
    pid = tl.program_id(0)
    at = tl.arange(0, D)
    if pid < rows:
        v = tl.load(x + pid * D + at).to(tl.float32)
        r = tl.rsqrt(tl.sum(v * v, 0) / D + eps)
        v = (v * r * tl.load(weight + at).to(tl.float32)).to(tl.bfloat16).to(tl.float32)
        a, b = tl.split(tl.reshape(v, [R // 2, 2]))
        half = tl.arange(0, R // 2)
        c = tl.load(cos + half)
        s = tl.load(sin + half)
        turned = tl.reshape(tl.join(a * c - b * s, a * s + b * c), [D])
        tl.store(y + pid * D + at, turned.to(tl.bfloat16))
    else:
        v = tl.load(x + (pid - rows) * D + at).to(tl.float32)
        top = tl.max(v, 0)
        tl.store(z + pid - rows, top + tl.log(tl.sum(tl.exp(v - top), 0)) + tl.sqrt(tl.abs(top)))
