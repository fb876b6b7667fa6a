"""What each op of the graph means, in plain torch and without a thought for speed.

Numbers are float64 and indices int64, on the CPU, so that no sum depends on its order. A function computes one op on
whole tensors and leaves its result unrounded but for the roundings inside an op; the caller rounds where the graph's
types say so, with bf16(). Operands come as they are stored: wide() reads them.
"""

import functools
import math

import torch

E4M3_MAX = 448.0
E2M1_MAX = 6.0


class Scaled:
    """Codes with a power of two for each block of rows x cols of them, rows counted over all axes but the last. Codes
    are e4m3, or e2m1 with two in a byte, the even one in the low bits; a scale is the byte exponent + 127."""

    def __init__(self, codes, scales, rows, cols):
        self.codes, self.scales, self.rows, self.cols = codes, scales, rows, cols

    @property
    def shape(self):
        packed = 1 if self.codes.dtype == torch.float8_e4m3fn else 2
        return (*self.codes.shape[:-1], self.codes.shape[-1] * packed)

    def slice(self, first, count):
        """The numbers of count rows from the given one on."""
        k = self.shape[-1]
        codes = self.codes.reshape(-1, self.codes.shape[-1])[first : first + count].cpu()
        values = codes.to(torch.float64) if codes.dtype == torch.float8_e4m3fn else e2m1_values(codes)
        row = torch.arange(first, first + count) // self.rows
        byte = self.scales.reshape(-1, self.scales.shape[-1]).cpu()[row].to(torch.int64) & 255
        return values * power_of_two(byte - 127)[:, torch.arange(k) // self.cols]

    def wide(self):
        return self.slice(0, math.prod(self.shape[:-1])).reshape(self.shape)


def power_of_two(exponent):
    return torch.ldexp(torch.ones_like(exponent, dtype=torch.float64), exponent)


def e2m1_values(packed):
    """Sign, two bits of exponent, one of fraction: 0, 0.5, 1, 1.5, 2, 3, 4, 6."""
    grid = torch.tensor([0, 0.5, 1, 1.5, 2, 3, 4, 6], dtype=torch.float64)
    grid = torch.cat([grid, -grid])
    byte = packed.to(torch.int64) & 255
    return torch.stack([grid[byte & 15], grid[byte >> 4]], -1).flatten(-2)


def wide(x):
    """The numbers or indices of an operand as it is stored."""
    if isinstance(x, Scaled):
        return x.wide()
    if not isinstance(x, torch.Tensor):
        return x
    return x.cpu().to(torch.float64 if x.is_floating_point() else torch.int64)


def bf16(x):
    """Rounded to bf16, ties to even. On the way stands float32, which moves one tie in 2^16."""
    return x.to(torch.float32).to(torch.bfloat16).to(torch.float64)


def op(formula):
    """A formula whose operands are widened first."""
    return functools.wraps(formula)(lambda *args, **attrs: formula(*map(wide, args), **attrs))


# Products.


@op
def linear(x, w):
    y = x.reshape(-1, x.shape[-1]) @ w.reshape(-1, w.shape[-1]).T
    return y.reshape(x.shape[:-1] + w.shape[:-1])


@op
def grouped_linear(x, w):
    return torch.einsum("...gk,grk->...gr", x, w)


def expert_linear(x, ids, w, first=0):
    """Expert first is the first of w; what others compute is 0. An expert's weights are read only if it is chosen."""
    x, ids = wide(x), wide(ids) - first
    experts, f, k = w.shape
    if x.dim() == 2:  # the same input for every slot
        x = x[:, None, :].expand(-1, ids.shape[1], -1)
    y = torch.zeros(*ids.shape, f, dtype=torch.float64)
    for e in ids.unique().tolist():
        if 0 <= e < experts:
            weights = w.slice(e * f, f) if isinstance(w, Scaled) else wide(w[e])
            y[ids == e] = x[ids == e] @ weights.T
    return y


@op
def embedding(ids, table, first=0):
    ids = ids - first
    here = (ids >= 0) & (ids < table.shape[0])
    return torch.where(here[..., None], table[ids.clamp(0, table.shape[0] - 1)], 0.0)


# Pointwise.


@op
def add(a, b):
    return a + b


@op
def mul(a, b):
    return a * b


@op
def scale(x, factor):
    return x * factor


@op
def cast(x):
    return x


@op
def sqrt_softplus(x):
    return torch.where(x > 20, x, torch.log1p(torch.exp(x.clamp(max=20)))).sqrt()


@op
def swiglu(gate, up, limit):
    gate, up = gate.clamp(max=limit), up.clamp(-limit, limit)
    return gate * torch.sigmoid(gate) * up


# Norms, rotations, hyper-connections.


@op
def rms_norm(x, w, eps):
    return w * (x * torch.rsqrt(x.square().mean(-1, keepdim=True) + eps))


@op
def head_norm(x, eps):
    """In bf16, each step rounded."""
    mean = bf16(bf16(x * x).mean(-1, keepdim=True))
    return x * bf16(torch.rsqrt(bf16(mean + torch.tensor(eps, dtype=torch.float32).to(torch.float64))))


def rope_angles(rows, first, step=1, *, dims, theta, factor=1.0, original=0, beta_fast=0.0, beta_slow=0.0):
    """The angle of each pair of channels for positions first, first + step, ...; position times frequency in float32.
    Frequencies take two roundings to float32: the power and its reciprocal. Those that turn less than beta_slow times
    within the original length are divided by factor, those of more than beta_fast stay, in between lies a ramp."""
    power = theta ** (torch.arange(0, dims, 2, dtype=torch.float32) / dims).to(torch.float64)
    frequency = 1 / power.to(torch.float32)
    if original:
        channel = lambda turns: dims * math.log(original / (turns * 2 * math.pi)) / (2 * math.log(theta))
        low, high = max(math.floor(channel(beta_fast)), 0), min(math.ceil(channel(beta_slow)), dims - 1)
        ramp = ((torch.arange(dims // 2, dtype=torch.float32) - low) / max(high - low, 0.001)).clamp(0, 1)
        frequency = frequency / factor * (1 - (1 - ramp)) + frequency * (1 - ramp)
    return ((first + step * torch.arange(rows))[:, None].to(torch.float32) * frequency).to(torch.float64)


@op
def rope(x, first, dims, step=1, inverse=False, **frequencies):
    """The last dims channels as complex numbers, turned."""
    angle = rope_angles(x.shape[1], first, step, dims=dims, **frequencies)
    angle = angle.reshape(x.shape[1], *[1] * (x.dim() - 3), dims // 2)
    turn = torch.polar(torch.ones_like(angle), -angle if inverse else angle)
    kept, turned = x.split([x.shape[-1] - dims, dims], -1)
    pairs = torch.view_as_complex(turned.unflatten(-1, (dims // 2, 2)).contiguous())
    return torch.cat([kept, torch.view_as_real(pairs * turn).flatten(-2)], -1)


@op
def hadamard(x):
    h = torch.ones(1, 1, dtype=torch.float64)
    while h.shape[0] < x.shape[-1]:
        h = torch.cat([torch.cat([h, h], 1), torch.cat([h, -h], 1)])
    return x @ h * x.shape[-1] ** -0.5


def stream_mix(x, fn, norm_eps):
    """Logits of hyper-connections: the norm's factor comes behind the product."""
    flat = x.flatten(-2)
    return flat @ fn.T * torch.rsqrt(flat.square().mean(-1, keepdim=True) + norm_eps)


@op
def hc_pre(x, fn, scale, base, iters, norm_eps, hc_eps):
    hc = x.shape[-2]
    mix = stream_mix(x, fn, norm_eps)
    pre = torch.sigmoid(mix[..., :hc] * scale[0] + base[:hc]) + hc_eps
    post = 2 * torch.sigmoid(mix[..., hc : 2 * hc] * scale[1] + base[hc : 2 * hc])
    comb = (mix[..., 2 * hc :] * scale[2] + base[2 * hc :]).unflatten(-1, (hc, hc))
    comb = comb.softmax(-1) + hc_eps
    comb = comb / (comb.sum(-2, keepdim=True) + hc_eps)
    for _ in range(iters - 1):
        comb = comb / (comb.sum(-1, keepdim=True) + hc_eps)
        comb = comb / (comb.sum(-2, keepdim=True) + hc_eps)
    return (pre[..., None] * x).sum(-2), post, comb


@op
def hc_post(y, x, post, comb):
    return post[..., None] * y[..., None, :] + torch.einsum("...jk,...jd->...kd", comb, x)


@op
def hc_head(x, fn, scale, base, norm_eps, hc_eps):
    pre = torch.sigmoid(stream_mix(x, fn, norm_eps) * scale[0] + base) + hc_eps
    return (pre[..., None] * x).sum(-2)


# Quantisation.


def block_exponents(x, block, largest, least):
    """For each block of the last axis the exponent of the smallest power of two under which it fits."""
    amax = x.unflatten(-1, (-1, block)).abs().amax(-1).clamp(min=least)
    fraction, exponent = torch.frexp(amax / largest)
    return torch.where(fraction > 0.5, exponent, exponent - 1)


def e4m3(x):
    return x.to(torch.float32).to(torch.float8_e4m3fn)


def e2m1(x):
    """Steps of 0.5 below 2, of 1 below 4, then of 2; ties go to the even code."""
    step = torch.where(x.abs() < 2, 0.5, torch.where(x.abs() < 4, 1.0, 2.0))
    return (torch.round(x / step) * step).clamp(-E2M1_MAX, E2M1_MAX)


def on_grid(x, block, largest, least, code):
    scale = power_of_two(block_exponents(x, block, largest, least)).repeat_interleave(block, -1)
    return code(x / scale).to(torch.float64) * scale


@op
def act_quant(x, block):
    return on_grid(x, block, E4M3_MAX, 1e-4, e4m3)


@op
def act_quant_sim(x, block, keep):
    n = x.shape[-1] - keep
    return torch.cat([on_grid(x[..., :n], block, E4M3_MAX, 1e-4, e4m3), x[..., n:]], -1)


@op
def fp4_quant_sim(x, block):
    return on_grid(x, block, E2M1_MAX, E2M1_MAX * 2.0**-126, e2m1)


# Caches.


@op
def ring_write(cache, x, window, p):
    cache = cache.clone()
    for i in range(max(0, x.shape[1] - window), x.shape[1]):
        cache[:, (p + i) % window] = x[:, i]
    return cache


@op
def cache_write(cache, x, at):
    cache = cache.clone()
    cache[:, at : at + x.shape[1]] = x
    return cache


@op
def compress_pool(values, scores, ape, kv, score, ratio, overlap, p):
    """A window's entry when its last token comes. With overlap a token's first half of channels belongs to the window
    behind its own, whose tokens are kept above the unfinished ones."""
    kv, score = kv.clone(), score.clone()
    own = ratio if overlap else 0  # rows of the states above the unfinished window
    half = values.shape[2] // 2
    entries = []
    for i in range(values.shape[1]):
        place = (p + i) % ratio
        kv[:, own + place] = values[:, i]
        score[:, own + place] = scores[:, i] + ape[place]
        if place < ratio - 1:
            continue
        if overlap:
            pooled = torch.cat([kv[:, :ratio, :half], kv[:, ratio:, half:]], 1)
            weights = torch.cat([score[:, :ratio, :half], score[:, ratio:, half:]], 1)
        else:
            pooled, weights = kv, score
        entries.append((weights.softmax(1) * pooled).sum(1))
        if overlap:
            kv[:, :ratio], score[:, :ratio] = kv[:, ratio:].clone(), score[:, ratio:].clone()
    width = half if overlap else values.shape[2]
    none = torch.zeros(values.shape[0], 0, width, dtype=torch.float64)
    return torch.stack(entries, 1) if entries else none, kv, score


# What attention sees. An entry is a row of keys, -1 none.


def window_entries(window, b, s):
    n = min(s, window)
    i, j = torch.arange(s)[:, None], torch.arange(n)
    entry = (i - window + 1).clamp(min=0) + j
    return torch.where(entry <= i, entry, -1).expand(b, s, n)


def ring_entries(window, b, s, p):
    token = max(0, p - window + 1) + torch.arange(window)
    return torch.where(token <= p, token % window, -1).expand(b, s, window)


def causal_entries(n, ratio, first, b, s, p):
    i, j = torch.arange(s)[:, None], torch.arange(n)
    return torch.where(j < (p + i + 1) // ratio, first + j, -1).expand(b, s, n)


@op
def index_score(q, keys, w):
    products = bf16(torch.einsum("bshd,btd->bsht", q, keys))
    return bf16(products.clamp(min=0) * w[..., None]).sum(2)


def best_first(x):
    """Places along the last axis by falling value, equal values by place."""
    return x.sort(dim=-1, descending=True, stable=True).indices


@op
def top_entries(score, k, ratio, first, p):
    b, s, n = score.shape
    chosen = torch.full((b, s, k), -1)
    for i in range(s):
        visible = min(n, (p + i + 1) // ratio)
        best = best_first(score[:, i, :visible])[:, :k]
        chosen[:, i, : best.shape[1]] = first + best
    return chosen


ATTENTION_BLOCK = 64  # entries that share a running maximum, to which probabilities are rounded


@op
def sparse_attention(q, keys, entries, sink, scale):
    out = torch.zeros_like(q)
    for b in range(q.shape[0]):
        for s in range(q.shape[1]):
            out[b, s] = attend(q[b, s], keys[b], entries[b, s], sink, scale)
    return out


def attend(q, keys, entries, sink, scale):
    """All heads of one token. The sink joins the denominator alone."""
    top = torch.full((q.shape[0], 1), -math.inf, dtype=torch.float64)
    total, out = torch.zeros_like(top), torch.zeros_like(q)
    for block in entries.split(ATTENTION_BLOCK):
        rows = keys[block[block >= 0]]
        if len(rows) == 0:
            continue
        score = q @ rows.T * scale
        before, top = top, torch.maximum(top, score.amax(1, keepdim=True))
        p, fade = torch.exp(score - top), torch.exp(before - top)
        total = total * fade + p.sum(1, keepdim=True)
        out = out * fade + bf16(p) @ rows
    if (entries < 0).all():
        return out
    return out / (total + torch.exp(sink[:, None] - top))


# Experts.


@op
def top_experts(scores, bias, k):
    return best_first(scores + bias)[:, :k]


@op
def hash_experts(ids, table):
    return table[ids]


@op
def route_weights(scores, chosen, scale):
    weights = scores.gather(1, chosen)
    return weights / weights.sum(1, keepdim=True) * scale


@op
def sum_slots(y):
    return y.sum(1)


# Choosing tokens.


@op
def perturb(x, noise, temperature):
    """The logarithm of softmax(x / temperature) / noise, but for what all of a row have in common."""
    return x / temperature.clamp(min=1e-5) - torch.log(noise)


@op
def argmax(x):
    value = x.amax(-1, keepdim=True)
    return value, torch.where(x == value, torch.arange(x.shape[-1]), x.shape[-1]).amin(-1, keepdim=True)


@op
def pick(value, place, part):
    best = argmax(value)[1]
    return best * part + place.gather(1, best)


# Moving.


@op
def view(x, *shape):
    return x.reshape(shape)


@op
def repeat(x, hc):
    return x[..., None, :].expand(*x.shape[:-1], hc, x.shape[-1])


@op
def last(x):
    return x[:, -1]


@op
def take(x, n):
    return x[:, :n]


@op
def concat(a, b, axis):
    return torch.cat([a, b], axis)
