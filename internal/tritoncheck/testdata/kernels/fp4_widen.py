import triton
import triton.language as tl


@triton.jit
def fp4_widen(w, y, n, BLOCK: tl.constexpr = 64):
    """y[2i], y[2i+1] = low and high nibble of w[i], e2m1 widened to bf16: sign, 2 exponent bits, 1 fraction bit."""
    at = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    live = at < n
    byte = tl.load(w + at, mask=live, other=0).to(tl.int32)
    code = tl.join(byte & 15, (byte >> 4) & 15)
    magnitude = code & 7
    # The three bits lie where a bf16 has its lowest exponent bits and its first fraction bit; a subnormal
    # there, so that multiplying by 2^126 sets the bias right for the subnormal e2m1 codes too.
    bits = ((code & 8) << 12) | (magnitude << 6)
    wide = (bits << 16).to(tl.float32, bitcast=True) * 8.507059173023462e37
    out = tl.reshape(wide.to(tl.bfloat16), [2 * BLOCK])
    where = tl.program_id(0) * 2 * BLOCK + tl.arange(0, 2 * BLOCK)
    tl.store(y + where, out, mask=where < 2 * n)
