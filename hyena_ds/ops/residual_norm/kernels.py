"""Triton kernels of the residual stream and its layer norm; statistics in fp32, each big tensor passed over once."""

import triton
import triton.language as tl


@triton.jit
def norm_forward(
    hidden, residual, weight, bias, total, normalised, mean, scale,
    hidden_batch, hidden_row, residual_batch, residual_row, length, width, epsilon,
    ADD: tl.constexpr, ROWS: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    """`residual` (with ADD plus `hidden`, stored in `total`) normalised; `mean` and `scale` = 1 / deviation [B, L]."""
    row = (tl.program_id(0) * ROWS + tl.arange(0, ROWS)).to(tl.int64)[:, None]
    batch = tl.program_id(1).to(tl.int64)
    column = tl.arange(0, BLOCK)[None, :]
    used = column < width
    inside = (row < length) & used
    value = tl.load(residual + batch * residual_batch + row * residual_row + column, mask=inside, other=0.0)
    place = (batch * length + row) * width + column
    if ADD:
        added = tl.load(hidden + batch * hidden_batch + row * hidden_row + column, mask=inside, other=0.0)
        value += added.to(tl.float32)
        tl.store(total + place, value, mask=inside)
    average = (tl.sum(value, axis=1) / width)[:, None]
    centred = tl.where(used, value - average, 0.0)
    inverse = tl.rsqrt(tl.sum(centred * centred, axis=1) / width + epsilon)[:, None]
    factor = tl.load(weight + column, mask=used, other=0.0).to(tl.float32)
    offset = tl.load(bias + column, mask=used, other=0.0).to(tl.float32)
    output = centred * inverse * factor + offset
    tl.store(normalised + place, output.to(normalised.dtype.element_ty), mask=inside)
    tl.store(mean + batch * length + row, average, mask=row < length)
    tl.store(scale + batch * length + row, inverse, mask=row < length)


@triton.jit
def norm_backward(
    received, received_total, total, weight, mean, scale, residual_gradient, hidden_gradient, partial,
    received_batch, received_row, received_total_batch, received_total_row, total_batch, total_row,
    length, width, share,
    TOTAL: tl.constexpr, HIDDEN: tl.constexpr, ROWS: tl.constexpr, BLOCK: tl.constexpr, WARPS: tl.constexpr,
):  # fmt: skip
    """The gradient of the stream, with HIDDEN once more in the dtype of `hidden`, and a program's sums for the weights.

    With TOTAL the stream itself has a gradient `received_total`. `partial` is [programs, 2, width], weight and bias; a
    program takes `share` tiles of ROWS positions.
    """
    batch = tl.program_id(1).to(tl.int64)
    column = tl.arange(0, BLOCK)[None, :]
    used = column < width
    factor = tl.load(weight + column, mask=used, other=0.0).to(tl.float32)
    weight_sum = tl.zeros((WARPS, BLOCK), tl.float32)
    bias_sum = tl.zeros((WARPS, BLOCK), tl.float32)
    for number in range(share):
        row = ((tl.program_id(0) * share + number) * ROWS + tl.arange(0, ROWS)).to(tl.int64)[:, None]
        inside = (row < length) & used
        arrived = tl.load(received + batch * received_batch + row * received_row + column, mask=inside, other=0.0)
        arrived = arrived.to(tl.float32)
        value = tl.load(total + batch * total_batch + row * total_row + column, mask=inside, other=0.0)
        average = tl.load(mean + batch * length + row, mask=row < length, other=0.0)
        inverse = tl.load(scale + batch * length + row, mask=row < length, other=0.0)
        standard = tl.where(inside, (value - average) * inverse, 0.0)
        weighted = arrived * factor
        along = (tl.sum(weighted * standard, axis=1) / width)[:, None]
        level = (tl.sum(weighted, axis=1) / width)[:, None]
        gradient = (weighted - level - standard * along) * inverse
        if TOTAL:
            place = batch * received_total_batch + row * received_total_row + column
            gradient += tl.load(received_total + place, mask=inside, other=0.0).to(tl.float32)
        place = (batch * length + row) * width + column
        tl.store(residual_gradient + place, gradient, mask=inside)
        if HIDDEN:
            tl.store(hidden_gradient + place, gradient.to(hidden_gradient.dtype.element_ty), mask=inside)
        # Over each warp's rows, of which a thread holds the same columns.
        weight_sum += tl.sum(tl.reshape(arrived * standard, (ROWS // WARPS, WARPS, BLOCK)), axis=0)
        bias_sum += tl.sum(tl.reshape(arrived, (ROWS // WARPS, WARPS, BLOCK)), axis=0)
    program = batch * tl.num_programs(0) + tl.program_id(0)
    last = tl.arange(0, BLOCK)
    target = partial + program * (2 * width) + last
    tl.store(target, tl.sum(weight_sum, axis=0), mask=last < width)
    tl.store(target + width, tl.sum(bias_sum, axis=0), mask=last < width)
