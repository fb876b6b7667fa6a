import triton
import triton.language as tl


@triton.jit
def grid_barrier(x, mid, count, y, PROGRAMS: tl.constexpr = 4, BLOCK: tl.constexpr = 16):
    """y = reverse over programs of 2 x: every program waits until all have written mid."""
    pid = tl.program_id(0)
    at = tl.arange(0, BLOCK)
    tl.store(mid + pid * BLOCK + at, tl.load(x + pid * BLOCK + at) * 2.0)
    tl.debug_barrier()
    tl.atomic_add(count, 1)
    while tl.atomic_add(count, 0) < PROGRAMS:
        pass
    tl.debug_barrier()
    other = PROGRAMS - 1 - pid
    tl.store(y + pid * BLOCK + at, tl.load(mid + other * BLOCK + at))
