"""Device memory for interpreted kernels: every access is checked against the buffers of the launch.

A kernel sees addresses of a space of its own, in which each buffer starts 2^40 bytes after the one before.
An address therefore says which argument it was computed from, and an offset that runs out of one buffer never
lands in another. Each lane that is not masked off must lie inside its buffer and be aligned to its element;
only `out` and `inout` buffers are written, and an `out` buffer is read only where it has been written.
"""

import numpy as np
import triton.language as tl
from triton.runtime import interpreter as ti

SHIFT = 40
SPAN = 1 << SHIFT


class AccessError(Exception):
    """An access that a device would not survive, or would answer with whatever lies there."""


class Buffer:
    def __init__(self, name, dtype, access, data):
        self.name, self.dtype, self.access = name, dtype, access
        # Aligned to 16 bytes as the launcher promises; numpy promises less.
        room = np.zeros(len(data) + 16, np.uint8)
        skip = -room.ctypes.data % 16
        self.data = room[skip : skip + len(data)]
        self.data[:] = np.frombuffer(data, np.uint8)
        # None: everything may be read.
        self.written = np.zeros(len(data), bool) if access == "out" else None


class Memory:
    def __init__(self, buffers, ignore_other=False):
        self.buffers = buffers
        self.ignore_other = ignore_other
        self.sizes = np.array([len(b.data) for b in buffers] + [0], np.int64)
        self.real = np.array([b.data.ctypes.data for b in buffers] + [0], np.uint64)

    def base(self, index):
        return (index + 1) << SHIFT

    def resolve(self, pointers, mask, what):
        """The machine addresses of the lanes in mask, after every check; other lanes become 0."""
        element = pointers.get_element_ty()
        size = max(1, element.primitive_bitwidth // 8)
        address = np.asarray(pointers.data, np.uint64)
        mask = np.broadcast_to(mask, address.shape)
        index = (address >> np.uint64(SHIFT)).astype(np.int64) - 1
        offset = (address & np.uint64(SPAN - 1)).astype(np.int64)
        known = (index >= 0) & (index < len(self.buffers))
        index = np.where(known, index, len(self.buffers))
        inside = known & (offset + size <= self.sizes[index])
        bad = mask & ~inside
        if bad.any():
            self.outside(address[bad], int(mask.sum()), size, element, what)
        if (mask & (offset % size != 0)).any():
            raise AccessError(f"{what} of {element} at an address that is not a multiple of {size} bytes")
        for i in np.unique(index[mask]):
            self.allowed(self.buffers[i], offset[mask & (index == i)], size, what)
        return np.where(mask, self.real[index] + offset.astype(np.uint64), 0).astype(np.uint64)

    def outside(self, addresses, lanes, size, element, what):
        # A negative offset from one buffer looks like a large one from the buffer before.
        signed = addresses.astype(np.int64)
        index = (signed + SPAN // 2 >> SHIFT) - 1
        first = int(index[0])
        if not 0 <= first < len(self.buffers):
            raise AccessError(f"{what} of {element} at {int(addresses[0]):#x}, which belongs to no argument")
        b = self.buffers[first]
        at = (signed[index == first] - self.base(first)) // size
        where = f"element {at.min()}" if at.min() == at.max() else f"elements {at.min()} to {at.max()}"
        raise AccessError(
            f"{what} outside {b.name}, which has {len(b.data) // size} elements of {element}: "
            f"{where}, in {len(addresses)} of {lanes} active lanes"
        )

    def allowed(self, b, offsets, size, what):
        if what != "load" and b.access == "in":
            raise AccessError(f"{what} to {b.name}, which is declared as an input")
        if b.written is None:
            return
        touched = (offsets[:, None] + np.arange(size)).ravel()
        if what != "store" and not b.written[touched].all():
            at = touched[~b.written[touched]][0] // size
            raise AccessError(f"{what} of {b.name}[{at}], an output that nothing has written there")
        b.written[touched] = True

    def load(self, pointers, mask, other):
        element = pointers.get_element_ty()
        dtype = ti._get_np_dtype(element)
        address = self.resolve(pointers, mask.data, "load")
        if other is None or self.ignore_other:
            # What a device leaves in lanes without a value is anybody's guess; here it is never a good one.
            fill = np.full(address.shape, poison(element, dtype), dtype)
        else:
            fill = np.broadcast_to(other.data, address.shape).astype(dtype)
        active = np.broadcast_to(mask.data, address.shape)
        return ti.TensorHandle(ti._interpreter.load(address, active, fill, dtype), element)

    def store(self, pointers, value, mask):
        dtype = ti._get_np_dtype(pointers.get_element_ty())
        address = self.resolve(pointers, mask.data, "store")
        active = np.broadcast_to(mask.data, address.shape)
        data = np.broadcast_to(value.data, address.shape).astype(dtype)
        ti._interpreter.store(address, data, active)


def poison(element, dtype):
    if element == tl.bfloat16:
        return 0x7FFF
    if element.is_fp8():
        return 0x7F
    if element.is_floating():
        return np.nan
    if dtype == np.bool_:
        return True
    # An index that hits nothing, yet small enough that arithmetic on a lane masked off later does not overflow.
    return 0x55 if dtype.itemsize == 1 else 65537 if dtype.itemsize > 2 else 0x5555


def install(current, before_shared=lambda: None):
    """Send the interpreter's accesses through current(), a Memory; before_shared runs ahead of those that
    other programs may be waiting for, and lets them go on."""
    b = ti.InterpreterBuilder
    rmw, cas = b.create_atomic_rmw, b.create_atomic_cas

    def masked_load(self, ptrs, mask, other, cache_modifier, eviction_policy, is_volatile):
        if is_volatile:
            before_shared()
        return current().load(ptrs, mask, other)

    def masked_store(self, ptrs, value, mask, cache_modifier, eviction_policy):
        current().store(ptrs, value, mask)

    def atomic_rmw(self, op, ptr, val, mask, sem, scope):
        before_shared()
        if val.dtype.scalar.primitive_bitwidth < 32:
            raise TypeError(f"atomic on {val.dtype.scalar}: not every target has it")
        real = ti.TensorHandle(current().resolve(ptr, mask.data, "atomic"), ptr.dtype)
        return rmw(self, op, real, val, mask, sem, scope)

    def atomic_cas(self, ptr, cmp, val, sem, scope):
        before_shared()
        real = ti.TensorHandle(current().resolve(ptr, np.ones_like(ptr.data, bool), "atomic"), ptr.dtype)
        return cas(self, real, cmp, val, sem, scope)

    b.create_masked_load, b.create_masked_store = masked_load, masked_store
    b.create_atomic_rmw, b.create_atomic_cas = atomic_rmw, atomic_cas
