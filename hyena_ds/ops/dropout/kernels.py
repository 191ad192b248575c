"""Triton kernel of dropout by keys: the bits of `keep_mask`, made where they are used."""

import triton
import triton.language as tl


@triton.jit
def _mix64(value):
    """The finaliser of SplitMix64 on uint64."""
    value = value + 0x9E3779B97F4A7C15
    value = (value ^ (value >> 30)) * 0xBF58476D1CE4E5B9
    value = (value ^ (value >> 27)) * 0x94D049BB133111EB
    return value ^ (value >> 31)


@triton.jit
def _mix32(value):
    """The finaliser of MurmurHash3 on uint32."""
    value = (value ^ (value >> 16)) * 0x85EBCA6B
    value = (value ^ (value >> 13)) * 0xC2B2AE35
    return value ^ (value >> 16)


@triton.jit
def drop(
    value, keys, output, value_batch, value_row, value_column, output_batch, output_row, output_column,
    length, channels, site, start, least_kept, scale,
    ROWS: tl.constexpr, COLUMNS: tl.constexpr,
):  # fmt: skip
    """What is kept of `value` [B, length, channels], times `scale`, into `output`."""
    batch = tl.program_id(2).to(tl.int64)
    row = (tl.program_id(0) * ROWS + tl.arange(0, ROWS)).to(tl.int64)[:, None]
    column = (tl.program_id(1) * COLUMNS + tl.arange(0, COLUMNS))[None, :]
    inside = (row < length) & (column < channels)
    key = tl.load(keys + batch + tl.zeros((1, 1), tl.int32)) + site
    row_bits = _mix64(_mix64(key.to(tl.uint64)) + (row + start).to(tl.uint64)) >> 32
    column_bits = _mix64(column.to(tl.uint64)) >> 32
    bits = _mix32(row_bits.to(tl.uint32) + column_bits.to(tl.uint32))
    kept = (bits & 0x7FFFFFFF) >= least_kept
    found = tl.load(value + batch * value_batch + row * value_row + column * value_column, mask=inside, other=0.0)
    result = found.to(tl.float32) * kept.to(tl.float32) * scale
    place = batch * output_batch + row * output_row + column * output_column
    tl.store(output + place, result.to(output.dtype.element_ty), mask=inside)
