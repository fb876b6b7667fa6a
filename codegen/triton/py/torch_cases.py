"""Inputs for kernels, room for what they leave, and how near that must be to the formulas of torch_reference.py."""

import os

import pytest
import torch

import torch_reference as ref

INTERPRETED = os.environ.get("TRITON_INTERPRET") == "1"

DEVICE = "cpu"  # where kernels run; conftest.py finds it

CONTEXT = 512  # tokens that caches hold


# Launches. Triton's interpreter is slow, so it gets the first of the sizes only, and few tokens.


def decode(test):
    """The token that completes a window of every compressor, and the next of two sequences."""
    sizes = [(1, 255), (2, 256)]
    return pytest.mark.parametrize("b, p", sizes[:1] if INTERPRETED else sizes)(test)


def prefill(tokens, interpreted):
    """A prompt of so many tokens, and two prompts of one."""
    return pytest.mark.parametrize("b, s", [(1, interpreted)] if INTERPRETED else [(1, tokens), (2, 1)])


# Numbers. Magnitudes differ between neighbouring scale blocks, so that the scale of another block is a wrong one.

UNIT = 32  # columns of one magnitude: no scale block is narrower
PATTERN = 4194301  # a prime number: of more random numbers than that, rows repeat at different places


def normal(*shape):
    count = torch.Size(shape).numel()
    x = torch.randn(min(count, PATTERN)).clamp(-3.5, 3.5)
    return x.repeat(-(-count // PATTERN))[:count].reshape(shape) if count > PATTERN else x.reshape(shape)


def uniform(low, high, *shape):
    return low + (high - low) * torch.rand(shape)


def stored(x, dtype):
    return x.to(dtype).to(DEVICE).contiguous()


def moderate(*shape, dtype=torch.bfloat16):
    """What norms leave: queries, keys, scores."""
    return stored(normal(*shape), dtype)


def loud_and_quiet(*shape):
    """Activations: blocks of different magnitude, and here and there a number far below its neighbours."""
    x = normal(*shape)
    blocks = -(-shape[-1] // UNIT)
    loudness = torch.randint(-2, 2, (*shape[:-1], blocks)).repeat_interleave(UNIT, -1)[..., : shape[-1]]
    quiet = torch.where(torch.rand(shape) < 1 / 16, torch.randint(-17, -7, shape), 0)
    return torch.ldexp(x, loudness + quiet)


def activations(*shape, dtype=torch.bfloat16):
    return stored(loud_and_quiet(*shape), dtype)


def fp8_activations(*shape, block):
    """As act_quant leaves them."""
    x = ref.bf16(loud_and_quiet(*shape))
    exponent = ref.block_exponents(x, block, ref.E4M3_MAX, 1e-4)
    scale = ref.power_of_two(exponent).repeat_interleave(block, -1)
    return ref.Scaled(stored(ref.e4m3(x / scale), torch.float8_e4m3fn), scales(exponent), 1, block)


def scales(exponent):
    return stored((exponent + 127).to(torch.uint8).view(torch.int8), torch.int8)


def weights(*shape, dtype=torch.bfloat16):
    """A matrix, or one for each of the first axes, whose products keep the magnitude."""
    return stored(normal(*shape) * shape[-1] ** -0.5, dtype)


def weight_scales(shape, rows, cols, size):
    """Exponents of the scales of codes whose magnitude is size."""
    k = shape[-1]
    blocks = -(-(torch.Size(shape).numel() // k) // rows), -(-k // cols)
    middle = -round((torch.tensor(float(k)).log2().item()) / 2) - size
    return scales(middle + torch.randint(-1, 2, blocks))


def fp8_weights(*shape, rows, cols):
    codes = (normal(*shape) * 64).to(torch.float8_e4m3fn).to(DEVICE)
    return ref.Scaled(codes, weight_scales(shape, rows, cols, size=6), rows, cols)


def fp4_weights(*shape, rows, cols):
    """All codes alike often, two in a byte."""
    half = (*shape[:-1], shape[-1] // 2)
    count = torch.Size(half).numel()
    codes = torch.randint(-128, 128, (min(count, PATTERN),), dtype=torch.int8).repeat(-(-count // PATTERN))[:count]
    return ref.Scaled(codes.reshape(half).to(DEVICE), weight_scales(shape, rows, cols, size=1), rows, cols)


def gain(*shape, dtype=torch.bfloat16):
    return stored(1 + normal(*shape) / 8, dtype)


def bias(*shape, dtype=torch.float32):
    """In steps of 2^-10: sums with scores are exact."""
    return stored((normal(*shape) * 1024).round() / 1024, dtype)


def positive(*shape, dtype=torch.float32):
    return stored(uniform(0.125, 4.125, *shape), dtype)


def mix_scale(*shape):
    return stored(uniform(0.5, 1.5, *shape), torch.float32)


def mix_post(*shape):
    return stored(uniform(0, 2, *shape), torch.float32)


def mix_comb(*shape):
    return stored(uniform(0, 2, *shape) / shape[-1], torch.float32)


def expert_scores(*shape, first, local):
    """Every token has one high score among the local experts, from first on."""
    scores = uniform(0.125, 4.125, *shape)
    scores[torch.arange(shape[0]), first + torch.randint(local, (shape[0],))] = 8
    return stored(scores, torch.float32)


def pool_states(b, rows, k, ratio, overlap, p):
    """Values and scores of the window that p tokens have left unfinished, and with overlap of the one before; 0 and
    -inf where there was no token yet."""
    row = torch.arange(rows)
    before = (row < ratio) if overlap else torch.zeros(rows, dtype=torch.bool)
    reached = torch.where(before, torch.tensor(p >= ratio), (p >= ratio) | (row % ratio < p))[None, :, None]
    kv, score = normal(b, rows, k), normal(b, rows, k)
    kv, score = torch.where(reached, kv, 0), torch.where(reached, score, -torch.inf)
    return stored(kv, torch.float32), stored(score, torch.float32)


def rope_table(*args, **frequencies):
    """For each row all cosines, then all sines."""
    angle = ref.rope_angles(*args, **frequencies)
    return stored(torch.cat([angle.cos(), angle.sin()], -1), torch.float32)


# Indices.


def token_ids(*shape, words):
    ids = torch.randint(words, shape)
    ids.view(-1)[:2] = torch.tensor([words - 1, 0])[: ids.numel()]
    return stored(ids, torch.int32)


def expert_ids(*shape, experts, first, local, dtype=torch.int32):
    """Distinct experts for each token, at least one of them a local one, from first on."""
    n, k = shape
    ids = torch.rand(n, experts).argsort(-1)[:, :k]
    mine = ((ids >= first) & (ids < first + local)).any(-1)
    ids[:, 0] = torch.where(mine, ids[:, 0], first + torch.randint(local, (n,)))
    return stored(ids, dtype)


def entries(*shape, rows):
    """Rows of keys without order, some places without one."""
    b, s, n = shape
    listed = torch.rand(b, s, max(n, rows)).argsort(-1)[..., :n]
    return stored(torch.where((torch.rand(shape) < 1 / 8) | (listed >= rows), -1, listed), torch.int32)


def places(*shape, below):
    return stored(torch.randint(below, shape), torch.int32)


def only_local(x, ids, first, local):
    """Zeros for the slots whose expert another rank has."""
    here = (ids >= first) & (ids < first + local)
    return torch.where(here.reshape(*here.shape, 1), x.to(torch.float32), 0).to(x.dtype)


def only_local_fp8(x, ids, first, local):
    here = ((ids >= first) & (ids < first + local))[..., None]
    codes = torch.where(here, x.codes.view(torch.int8), 0).view(torch.float8_e4m3fn)
    return ref.Scaled(codes, x.scales, x.rows, x.cols)


# Room. What nothing has written is no number, and no index.


def room(*shape, dtype):
    fill = 0x55 if dtype == torch.int32 else 0xFF
    size = torch.Size(shape).numel() * dtype.itemsize
    return torch.full((size,), fill, dtype=torch.uint8, device=DEVICE).view(dtype).reshape(shape)


def fp8_room(*shape, block):
    blocks = (*shape[:-1], shape[-1] // block)
    return ref.Scaled(room(*shape, dtype=torch.float8_e4m3fn), room(*blocks, dtype=torch.int8), 1, block)


def tickets(*shape):
    """Zeros, which a launch leaves as zeros."""
    return torch.zeros(shape, dtype=torch.int32, device=DEVICE)


# How near. Kernels sum in float32, the formulas exactly; a rounding behind a sum then falls to the other of two
# neighbours now and then.

# The share of rounded values that may be neighbours of the expected ones. Sums in float32 are off by some 2^-20 of a
# term; a value that near to the middle between two of bf16, 2^-9 apart, is rounded otherwise: one in some hundred at
# worst, where rounded values are summed again.
AT_MOST = 0.02
# Of values on a grid of codes: a neighbour in bf16 becomes another code one time in eight.
AT_MOST_CODES = AT_MOST / 8
# Values that may be neighbours whatever their share: of short results one is more than AT_MOST.
FEW = 2
# Units in the last place: one for a rounding of its own, two for one on the way, since a unit at the bottom of a binade
# is two at the top of another.
PLACES = 2
# The error of a sum in float32, relative to its row's root mean square: 2^-24 for each of some hundred roundings.
FLOAT32 = 2e-5
# By how much of its row's root mean square a value may be off that is the small difference of large rounded terms.
FLIPPED = 1 / 128
# The same of a sum of a few rounded terms, few of which exceed four times the root mean square.
TERM = 4 * FLIPPED
# A row of attention moves by this part of its norm when one probability is rounded to the other neighbour.
PROBABILITY = 1 / 256
# A number of that row by more: few numbers of the rows that are averaged exceed four times the root mean square.
ATTENDED = 4 * PROBABILITY
# silu(gate)·up where the gate is rounded otherwise: at gates down to -6 its logarithm moves by 2^-7 times 1-gate.
GATED = 1 / 16
# Instances that mix streams and instances that store them compute the same numbers, and where one lies next to a tie a
# fused multiply-add may round it to different neighbours. Of each logit of the mix that is 2^-8 of a number of up to eight
# times the root mean square, times a weight of 3.5, over 128 (the root of 16,384 summed numbers), which is 2^-10; behind
# exponentials and rounds of Sinkhorn it is about twice that.
MIXED = 1 / 512
# Below the least normal number of float32 machines may take 0; subnormal numbers of bf16 are 2^-133 apart.
LEAST_NORMAL = 2.0**-126
SUBNORMAL_STEP = -133


def expect(name, got, want, digits=8, flip=FLIPPED):
    """Hold what a kernel left against what a formula gives. digits are the significant bits of the values' grid."""
    exact = isinstance(got, torch.Tensor) and not got.is_floating_point()
    summed = isinstance(got, torch.Tensor) and got.dtype == torch.float32
    got, want = ref.wide(got).reshape(want.shape), ref.wide(want)
    if exact:
        wrong = got != want
        assert not wrong.any(), report(name, got, want, wrong, "no index may differ")
        return
    same = (got == want) | (got.isnan() & want.isnan())
    error = torch.where(same, 0, (got - want).abs())
    finite = torch.where(want.isinf(), 0, want)
    rms = finite.square().mean(-1, keepdim=True).sqrt()
    if summed:
        size = torch.maximum(rms, finite.abs())
        same |= error <= (MIXED if flip == MIXED else FLOAT32) * size + LEAST_NORMAL
        near = error <= flip * size + LEAST_NORMAL
    else:
        exponent = torch.frexp(torch.maximum(got.abs(), want.abs())).exponent
        place = ref.power_of_two((exponent - digits).clamp(min=SUBNORMAL_STEP))
        near = (error <= PLACES * place) | (error <= flip * rms)
    far = ~(same | near)
    assert not far.any(), report(name, got, want, far, "too far off")
    unequal = (~same).sum(-1)
    if flip == ATTENDED:  # one row in which a probability was rounded otherwise is excused
        moved = error.square().mean(-1, keepdim=True).sqrt() <= PROBABILITY * rms
        excused = torch.where(moved[..., 0], unequal, 0).flatten()
        unequal = unequal.sum() - (excused.max() if len(excused) else 0)
    most = max(FEW, (AT_MOST if digits == 8 else AT_MOST_CODES) * got.numel())
    assert unequal.sum() <= most, report(name, got, want, ~same, f"at most {most:.0f} may")


def expect_choice(name, got, want, scores, first):
    """Entries that were chosen by scores of the kernel's own: at each place one of the same score, give or take a unit
    in the last place, and none twice."""
    got, want = ref.wide(got).reshape(want.shape), ref.wide(want)
    assert ((got < 0) == (want < 0)).all(), report(name, got, want, got != want, "other places are empty")
    for b, s in torch.cartesian_prod(torch.arange(want.shape[0]), torch.arange(want.shape[1])).tolist():
        mine, theirs = (x[b, s][x[b, s] >= 0] - first for x in (got, want))
        assert len(mine.unique()) == len(mine), f"{name}: an entry is listed twice: {mine.tolist()}"
        expect(f"{name}: scores of what is chosen", scores[b, s][mine].to(torch.bfloat16), scores[b, s][theirs])


def expect_zeros(name, got):
    assert not got.any(), f"{name} must be zeros again for the next launch"


def report(name, got, want, wrong, rule):
    at = wrong.nonzero()[0].tolist()
    first = f"at {at} {got[tuple(at)].item()}, expected {want[tuple(at)].item()}"
    return f"{name}: {int(wrong.sum())} of {wrong.numel()} differ; {rule}; {first}"
