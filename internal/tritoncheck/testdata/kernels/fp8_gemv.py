import triton
import triton.language as tl


@triton.jit
def fp8_gemv(x, w, w_scale, y, n, K: tl.constexpr = 256, BLOCK_N: tl.constexpr = 16):
    """y[n] = sum_k x[k] w[n, k] w_scale[n/128, k/128]: e4m3 weights with a scale per 128 x 128 block."""
    rows = tl.program_id(0) * BLOCK_N + tl.arange(0, BLOCK_N)
    live = rows < n
    acc = tl.zeros([BLOCK_N], tl.float32)
    for k in range(0, K, 128):
        cols = k + tl.arange(0, 128)
        xk = tl.load(x + cols).to(tl.float32)
        wk = tl.load(w + rows[:, None] * K + cols[None, :], mask=live[:, None], other=0.0).to(tl.float32)
        scale = tl.load(w_scale + (rows // 128) * (K // 128) + k // 128, mask=live, other=0.0)
        acc += tl.sum(wk * xk[None, :], 1) * scale
    tl.store(y + rows, acc.to(tl.bfloat16), mask=live)
