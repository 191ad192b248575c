"""Triton kernel of sums over rows, in fp32."""

import triton
import triton.language as tl


@triton.jit
def sum_columns(value, partial, rows, width, share, ROWS: tl.constexpr, COLUMNS: tl.constexpr):
    """A program's sum `partial` [programs, width] of `share` tiles of `value` [rows, width]."""
    column = tl.program_id(1) * COLUMNS + tl.arange(0, COLUMNS)
    total = tl.zeros((ROWS, COLUMNS), tl.float32)
    for number in range(share):
        row = ((tl.program_id(0) * share + number) * ROWS + tl.arange(0, ROWS)).to(tl.int64)[:, None]
        inside = (row < rows) & (column < width)[None, :]
        total += tl.load(value + row * width + column[None, :], mask=inside, other=0.0).to(tl.float32)
    target = partial + tl.program_id(0).to(tl.int64) * width + column
    tl.store(target, tl.sum(total, axis=0), mask=column < width)
