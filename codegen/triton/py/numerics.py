"""Number formats as the hardware has them, and a repair of Triton's interpreter that uses them.

Triton 3.6 interprets kernels with numpy, which has neither bf16 nor e4m3. The interpreter keeps their bits in
uint16 and uint8 arrays and is wrong about them in these places, each replaced below:

* arithmetic on bf16 adds and multiplies the bits as if they were integers;
* tl.dot of bf16 multiplies the bits too;
* float32 to bf16 truncates, where every device rounds to nearest, ties to even;
* float32 to e4m3 loses carries and small subnormals; e4m3 NaN codes widen to 480;
* integers cast to bf16 become bit patterns;
* tl.dot of float32 ignores tf32, the default on devices that have it;
* tl.maximum and tl.minimum propagate NaN, where fmax and fmin of the devices return the number.

Sums and dots are accumulated in float64 and rounded once to the type of the result, float32 as a rule: the
interpreted result then does not depend on numpy's order of summation or on its linear algebra library.
"""

import dataclasses
import types

import numpy as np
import triton.language as tl
from triton._C.libtriton import ir
from triton.language.extra import cuda
from triton.runtime import interpreter as ti

Handle = ti.TensorHandle


def bf16_to_f32(bits):
    return (bits.astype(np.uint32) << 16).view(np.float32)


def f32_to_bf16(x, toward_zero=False):
    u = np.ascontiguousarray(x, np.float32).view(np.uint32)
    if toward_zero:
        rounded = u >> 16
    else:
        # A carry out of the fraction runs into the exponent, and from the last binade into infinity.
        rounded = (u + (0x7FFF + ((u >> 16) & 1))) >> 16
    # A NaN keeps its leading payload bits and becomes quiet; rounding could turn it into infinity.
    return np.where(np.isnan(x), (u >> 16) | 0x40, rounded).astype(np.uint16)


def _e4m3_values():
    values = np.empty(256, np.float32)
    for code in range(256):
        exponent, fraction = code >> 3 & 15, code & 7
        value = fraction * 2.0**-9 if exponent == 0 else (8 + fraction) * 2.0 ** (exponent - 10)
        if code & 0x7F == 0x7F:
            value = np.nan
        values[code] = -value if code & 0x80 else value
    return values


E4M3_VALUES = _e4m3_values()
E4M3_MAX_CODE, E4M3_NAN = 0x7E, 0x7F


def e4m3_to_f32(codes):
    return E4M3_VALUES[codes]


def f32_to_e4m3(x):
    """Round to nearest even and saturate at 448, infinities too, as cvt.rn.satfinite does."""
    x = np.ascontiguousarray(x, np.float32)
    u = x.view(np.uint32)
    a = u & 0x7FFFFFFF
    # float32 has 20 fraction bits more and an exponent bias that is larger by 120.
    normal = ((a + (0x7FFFF + ((a >> 20) & 1))) >> 20).astype(np.int64) - (120 << 3)
    # Below 2^-6 the step is 2^-9; eight steps are the first normal code, 0x08. Larger values are held back
    # here only to keep numpy from complaining about what is not used.
    subnormal = np.rint(np.minimum(np.nan_to_num(np.abs(x)), 1.0) * 512).astype(np.int64)
    code = np.where(a < 0x3C800000, subnormal, np.minimum(normal, E4M3_MAX_CODE))
    signed = code | (u >> 24 & 0x80).astype(np.int64)
    return np.where(np.isnan(x), E4M3_NAN, signed).astype(np.uint8)


def f32_to_tf32(x):
    """Round to the 10 fraction bits that tensor cores keep of a float32 operand, ties away from zero."""
    u = np.ascontiguousarray(x, np.float32).view(np.uint32)
    return np.where(np.isfinite(x), ((u + 0x1000) & np.uint32(0xFFFFE000)).view(np.float32), x).astype(np.float32)


def is_bf16(handle):
    # The interpreter gives a comparison the type of its operands: a mask of bf16 is no bf16.
    return handle.dtype.scalar == tl.bfloat16 and handle.data.dtype == np.uint16


def is_fp8(handle):
    return handle.dtype.scalar.is_fp8() and handle.data.dtype == np.uint8


def values(handle):
    """The numbers that a handle stands for, in a numpy type that has arithmetic."""
    if is_bf16(handle):
        return bf16_to_f32(handle.data)
    if is_fp8(handle):
        if handle.dtype.scalar != tl.float8e4nv:
            raise NotImplementedError(f"{handle.dtype.scalar} is not interpreted; e4m3 (float8e4nv) is")
        return e4m3_to_f32(handle.data)
    return handle.data


def encode(data, dtype, toward_zero=False):
    """A handle of the scalar type that holds the numbers in data, rounded to it."""
    dtype = dtype.scalar
    if dtype == tl.bfloat16:
        return Handle(f32_to_bf16(data.astype(np.float32), toward_zero), dtype)
    if dtype == tl.float8e4nv:
        return Handle(f32_to_e4m3(data.astype(np.float32)), dtype)
    if dtype.is_fp8():
        raise NotImplementedError(f"{dtype} is not interpreted; e4m3 (float8e4nv) is")
    return Handle(data.astype(ti._get_np_dtype(dtype)), dtype)


def no_fp8_arithmetic(*handles):
    for h in handles:
        if is_fp8(h):
            raise TypeError(f"arithmetic on {h.dtype.scalar}: no target has it, widen to float32 first")


def binary_op(self, lhs, rhs, op):
    no_fp8_arithmetic(lhs, rhs)
    out = op(values(lhs), values(rhs))
    if out.dtype == np.bool_:
        return Handle(out, tl.int1)
    if is_bf16(lhs):
        return encode(out, tl.bfloat16)
    if not ti._validate_np_data_size(out, lhs.dtype.scalar):
        out = out.astype(ti._get_np_dtype(lhs.dtype.scalar))
    return Handle(out, lhs.dtype.scalar)


def signed_op(op, name):
    """Integer arithmetic that must not wrap: an int32 index beyond 2^31 is a fault that a device does not report.
    Triton's own check computes everything twice through the whole interpreter."""

    def apply(self, lhs, rhs):
        x, y = lhs.data, rhs.data
        if x.dtype == np.int32 and y.dtype == np.int32:
            wide = op(x.astype(np.int64), y.astype(np.int64))
            out = wide.astype(np.int32)
            if (wide != out).any():
                at = wide[wide != out].flat[0]
                raise OverflowError(f"int32 {name} gives {at}: widen to int64, or use uint32 where it should wrap")
            return Handle(out, lhs.dtype.scalar)
        return binary_op(self, lhs, rhs, op)

    return apply


def unary_op(self, arg, op):
    no_fp8_arithmetic(arg)
    out = op(values(arg))
    return encode(out, tl.bfloat16) if is_bf16(arg) else Handle(out, arg.dtype.scalar)


def clamp(self, arg, lo, hi, propagate_nans):
    no_fp8_arithmetic(arg)
    x, lo, hi = values(arg), values(lo), values(hi)
    if propagate_nans == ir.PROPAGATE_NAN.ALL:
        return encode(np.minimum(np.maximum(x, lo), hi), arg.dtype)
    return encode(np.fmin(np.fmax(x, lo), hi), arg.dtype)


def fma(self, x, y, z):
    # One rounding, as the instruction has; float64 holds the product of two float32 exactly.
    no_fp8_arithmetic(x, y, z)
    if not z.dtype.scalar.is_floating():
        return Handle(x.data * y.data + z.data, z.dtype.scalar)
    return encode(values(x).astype(np.float64) * values(y) + values(z), z.dtype)


def cast(self, src, dst_type):
    return encode(values(src), dst_type)


def fp_to_fp(self, src, dst_type, rounding_mode):
    return encode(values(src), dst_type, toward_zero=rounding_mode == ir.ROUNDING_MODE.RTZ)


def dot(self, a, b, d, input_precision, max_num_imprecise_acc):
    if not d.dtype.scalar.is_floating():
        return Handle(np.matmul(a.data, b.data, dtype=d.data.dtype) + d.data, d.dtype.scalar)
    x, y = values(a), values(b)
    if a.dtype.scalar == tl.float32 and input_precision == ir.INPUT_PRECISION.TF32:
        # The default of tl.dot: a kernel that forgot to ask for "ieee" shows it here.
        x, y = f32_to_tf32(x), f32_to_tf32(y)
    return encode(np.matmul(x.astype(np.float64), y.astype(np.float64)) + d.data, d.dtype)


def reduce_sum(self, input):
    x = values(input.handle)
    acc = np.float64 if input.dtype.is_floating() else x.dtype
    out = np.sum(x, axis=self.axis, keepdims=self.keep_dims, dtype=acc)
    return as_tensor(encode(np.atleast_1d(out), input.dtype), np.ndim(out), input.dtype)


def reduce_min_max(original):
    def min_max(self, input, val_reduce_op, idx_reduce_op=None):
        # Order in bf16 is order of the values, not of the bits; widening is exact.
        tensors = input if isinstance(input, tuple) else (input,)
        if not is_bf16(tensors[0].handle):
            return original(self, input, val_reduce_op, idx_reduce_op)
        x = as_tensor(Handle(values(tensors[0].handle), tl.float32), len(tensors[0].shape), tl.float32)
        out = original(self, x, val_reduce_op, idx_reduce_op)
        pair = isinstance(out, tuple)
        value = out[0] if pair else out
        if val_reduce_op:
            value = as_tensor(encode(value.handle.data, tl.bfloat16), len(value.shape), tl.bfloat16)
        return (value, out[1]) if pair else value

    return min_max


def as_tensor(handle, rank, dtype):
    return tl.core.tensor(handle, tl.block_type(dtype, list(handle.data.shape)) if rank else dtype)


def repair():
    b = ti.InterpreterBuilder
    b.binary_op, b.unary_op = binary_op, unary_op
    b.create_maxnumf = lambda self, x, y: self.binary_op(x, y, np.fmax)
    b.create_minnumf = lambda self, x, y: self.binary_op(x, y, np.fmin)
    b.create_clampf, b.create_fma, b.create_dot = clamp, fma, dot
    b.create_fp_to_fp, b.cast_impl = fp_to_fp, cast
    b.create_add, b.create_sub = signed_op(np.add, "sum"), signed_op(np.subtract, "difference")
    b.create_mul = signed_op(np.multiply, "product")
    options = dataclasses.replace(ti.interpreter_builder.options, sanitize_overflow=False)
    ti.interpreter_builder.options = options
    # Constants of bf16 are missing altogether.
    b.get_bf16 = lambda self, value: encode(np.array([value], np.float32), tl.bfloat16)
    # Launches follow each other here, so there is nothing to wait for.
    cuda.gdc_wait = cuda.gdc_launch_dependents = lambda: None
    ti.ReduceOps.sum = reduce_sum
    ti.ReduceOps.min_max = reduce_min_max(ti.ReduceOps.min_max)


def interpret_everywhere():
    """Put the interpreter behind triton.language for good. Triton does so anew in every launch and in every call
    of a function such as tl.sum, which takes far longer than the call; this process does nothing else."""
    home = types.FunctionType(compile("", "home", "exec"), {"tl": tl, "core": tl.core})
    ti._patch_lang(home)
    ti.InterpretedFunction.__call__ = lambda self, *args, **kwargs: self.rewrite()(*args, **kwargs)
