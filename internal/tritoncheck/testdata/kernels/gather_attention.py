import triton
import triton.language as tl


@triton.jit
def gather_attention(q, kv, index, sink, y, entries, H: tl.constexpr = 16, D: tl.constexpr = 64,
                     BLOCK: tl.constexpr = 16):
    """y[h] = sum_t p[h, t] kv[index[t]] with an online softmax of q[h] . kv[index[t]] and a sink; -1 is no entry."""
    heads = tl.arange(0, H)
    d = tl.arange(0, D)
    qh = tl.load(q + heads[:, None] * D + d[None, :])
    top = tl.load(sink + heads)
    total = tl.full([H], 1.0, tl.float32)
    acc = tl.zeros([H, D], tl.float32)
    for t in range(0, entries, BLOCK):
        at = t + tl.arange(0, BLOCK)
        i = tl.load(index + at, mask=at < entries, other=-1)
        rows = tl.load(kv + tl.maximum(i, 0)[:, None] * D + d[None, :], mask=(i >= 0)[:, None], other=0.0)
        score = tl.dot(qh, tl.trans(rows))
        score = tl.where((i >= 0)[None, :], score, float("-inf"))
        new = tl.maximum(top, tl.max(score, 1))
        p = tl.exp(score - new[:, None])
        keep = tl.exp(top - new)
        total = total * keep + tl.sum(p, 1)
        acc = tl.dot(p.to(tl.bfloat16), rows, acc * keep[:, None])
        top = new
    tl.store(y + heads[:, None] * D + d[None, :], (acc / total[:, None]).to(tl.bfloat16))
