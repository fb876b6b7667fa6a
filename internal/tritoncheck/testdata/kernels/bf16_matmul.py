import triton
import triton.language as tl


@triton.jit
def bf16_matmul(x, w, y, m, K: tl.constexpr = 128, N: tl.constexpr = 32, BLOCK_M: tl.constexpr = 16,
                BLOCK_N: tl.constexpr = 16, BLOCK_K: tl.constexpr = 64):
    """y[m, n] = sum_k x[m, k] w[n, k], everything bf16, accumulated in float32."""
    pid = tl.program_id(0)
    rows = pid // (N // BLOCK_N) * BLOCK_M + tl.arange(0, BLOCK_M)
    cols = pid % (N // BLOCK_N) * BLOCK_N + tl.arange(0, BLOCK_N)
    live = rows < m
    acc = tl.zeros([BLOCK_M, BLOCK_N], tl.float32)
    for k in range(0, K, BLOCK_K):
        ks = k + tl.arange(0, BLOCK_K)
        xk = tl.load(x + rows[:, None] * K + ks[None, :], mask=live[:, None], other=0.0)
        wk = tl.load(w + cols[:, None] * K + ks[None, :])
        acc = tl.dot(xk, tl.trans(wk), acc)
    tl.store(y + rows[:, None] * N + cols[None, :], acc.to(tl.bfloat16), mask=live[:, None])
