import triton
import triton.language as tl


@triton.jit
def fp8_matmul(x, x_scale, w, w_scale, y, m, K: tl.constexpr = 256, N: tl.constexpr = 32, BLOCK_N: tl.constexpr = 32):
    """y[m, n] = sum over blocks b of (x[m, b] . w[n, b]) x_scale[m, b] w_scale[n/128, b], e4m3 operands."""
    BLOCK_M: tl.constexpr = 16
    pid = tl.program_id(0)
    rows = pid // (N // BLOCK_N) * BLOCK_M + tl.arange(0, BLOCK_M)
    cols = pid % (N // BLOCK_N) * BLOCK_N + tl.arange(0, BLOCK_N)
    live = rows < m
    acc = tl.zeros([BLOCK_M, BLOCK_N], tl.float32)
    for k in range(0, K, 128):
        ks = k + tl.arange(0, 128)
        xk = tl.load(x + rows[:, None] * K + ks[None, :], mask=live[:, None], other=0.0)
        wk = tl.load(w + cols[:, None] * K + ks[None, :])
        xs = tl.load(x_scale + rows * (K // 128) + k // 128, mask=live, other=0.0)
        ws = tl.load(w_scale + cols // 128 * (K // 128) + k // 128)
        acc += tl.dot(xk, tl.trans(wk)) * xs[:, None] * ws[None, :]
    tl.store(y + rows[:, None] * N + cols[None, :], acc.to(tl.bfloat16), mask=live[:, None])
