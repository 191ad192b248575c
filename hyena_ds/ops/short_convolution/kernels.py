"""Triton kernels of the short convolution with its gates: each big tensor is read once from memory and written once.

A program computes tiles of ROWS positions by CHANNELS channels. Projections have their channels contiguous, values
their positions; Triton turns a tile through shared memory between the two. Neighbouring positions come from the cache.
"""

import triton
import triton.language as tl


@triton.jit
def _shifted(source, row, shift, rows, row_stride, channel, used):
    """`source` [rows, channels] at `row + shift` [ROWS, 1], zero outside, in fp32."""
    place = row + shift
    inside = (place >= 0) & (place < rows) & used
    return tl.load(source + place * row_stride + channel, mask=inside, other=0.0).to(tl.float32)


@triton.jit
def _tap(weight, channel, number, used, WIDTH: tl.constexpr):
    return tl.load(weight + channel * WIDTH + number, mask=used, other=0.0).to(tl.float32)


@triton.jit
def _filtered(source, weight, bias, row, rows, row_stride, channel, used, WIDTH: tl.constexpr):
    """The causal convolution of `source` at `row` [ROWS, 1] of `channel` [1, CHANNELS], fp32."""
    total = tl.load(bias + channel, mask=used, other=0.0).to(tl.float32)
    for tap in tl.static_range(WIDTH):
        value = _shifted(source, row, tap - WIDTH + 1, rows, row_stride, channel, used)
        total = total + _tap(weight, channel, tap, used, WIDTH) * value
    return total


@triton.jit
def _received(source, position, length, channel, channel_stride, position_stride, used):
    """`source` [channels, positions] at `position` [ROWS, 1], zero outside, in fp32."""
    inside = (position >= 0) & (position < length) & used
    place = channel.to(tl.int64) * channel_stride + position * position_stride
    return tl.load(source + place, mask=inside, other=0.0).to(tl.float32)


@triton.jit
def _in_column(column, number, sums):
    """`sums` [CHANNELS] as column `number` of [CHANNELS, COLUMNS], zero elsewhere."""
    return tl.where(column == number, sums[:, None], 0.0)


@triton.jit
def _parameter_sums(
    gradient, source, row, rows, row_stride, channel, used, column, WIDTH: tl.constexpr
):  # fmt: skip
    """What a tile adds to the gradients of taps and bias [CHANNELS, COLUMNS], from that of the filtered values."""
    sums = _in_column(column, WIDTH, tl.sum(gradient, axis=0))
    for tap in tl.static_range(WIDTH):
        value = _shifted(source, row, tap - WIDTH + 1, rows, row_stride, channel, used)
        sums += _in_column(column, tap, tl.sum(gradient * value, axis=0))
    return sums


@triton.jit
def _store_sums(partial, sums, channels, first, COLUMNS: tl.constexpr, CHANNELS: tl.constexpr):
    """Into `partial` [channels, COLUMNS]."""
    channel = first + tl.arange(0, CHANNELS)[:, None]
    tl.store(partial + channel * COLUMNS + tl.arange(0, COLUMNS)[None, :], sums, mask=channel < channels)


@triton.jit
def gate_forward(
    projected, weight, bias, signal, batch_stride, row_stride, channels, rows, context,
    WIDTH: tl.constexpr, ROWS: tl.constexpr, CHANNELS: tl.constexpr,
):  # fmt: skip
    """The product of both halves of `projected` [B, rows, 2 channels] into `signal` [B, channels, rows - context]."""
    length = rows - context
    position = (tl.program_id(0) * ROWS + tl.arange(0, ROWS)).to(tl.int64)[:, None]
    channel = (tl.program_id(1) * CHANNELS + tl.arange(0, CHANNELS))[None, :]
    batch = tl.program_id(2).to(tl.int64)
    used = channel < channels
    projected += batch * batch_stride
    row = position + context
    gate = _filtered(projected, weight, bias, row, rows, row_stride, channel, used, WIDTH)
    value = _filtered(
        projected + channels, weight + channels * WIDTH, bias + channels, row, rows, row_stride, channel, used, WIDTH
    )
    place = (batch * channels + channel) * length + position
    product = (gate * value).to(signal.dtype.element_ty)
    tl.store(signal + place, product, mask=used & (position < length))


@triton.jit
def gate_backward(
    received, projected, weight, bias, gradient, partial,
    received_batch, received_channel, received_position, batch_stride, row_stride, gradient_batch, gradient_row,
    channels, rows, context, lead, share,
    WIDTH: tl.constexpr, COLUMNS: tl.constexpr, ROWS: tl.constexpr, CHANNELS: tl.constexpr,
):  # fmt: skip
    """The gradient of `projected`, and of taps and biases one program's sums `partial` [programs, 2, channels, COLUMNS].

    A program takes `share` tiles; the first begins `lead` positions before the context's end.
    """
    length = rows - context
    first = tl.program_id(1) * CHANNELS
    channel = (first + tl.arange(0, CHANNELS))[None, :]
    batch = tl.program_id(2).to(tl.int64)
    used = channel < channels
    received += batch * received_batch
    projected += batch * batch_stride
    gradient += batch * gradient_batch
    value_source, value_weight, value_bias = projected + channels, weight + channels * WIDTH, bias + channels
    column = tl.arange(0, COLUMNS)[None, :]
    gate_sums = tl.zeros((CHANNELS, COLUMNS), tl.float32)
    value_sums = tl.zeros((CHANNELS, COLUMNS), tl.float32)
    for number in range(share):
        start = (tl.program_id(0) * share + number) * ROWS - lead
        position = (start + tl.arange(0, ROWS)).to(tl.int64)[:, None]
        row = position + context
        gate_gradient = tl.zeros((ROWS, CHANNELS), tl.float32)
        value_gradient = tl.zeros((ROWS, CHANNELS), tl.float32)
        for ahead in tl.static_range(WIDTH):
            arrived = _received(
                received, position + ahead, length, channel, received_channel, received_position, used
            )
            gate = _filtered(projected, weight, bias, row + ahead, rows, row_stride, channel, used, WIDTH)
            value = _filtered(
                value_source, value_weight, value_bias, row + ahead, rows, row_stride, channel, used, WIDTH
            )
            to_gate, to_value = arrived * value, arrived * gate
            gate_gradient += _tap(weight, channel, WIDTH - 1 - ahead, used, WIDTH) * to_gate
            value_gradient += _tap(value_weight, channel, WIDTH - 1 - ahead, used, WIDTH) * to_value
            if ahead == 0:
                gate_sums += _parameter_sums(
                    to_gate, projected, row, rows, row_stride, channel, used, column, WIDTH
                )
                value_sums += _parameter_sums(
                    to_value, value_source, row, rows, row_stride, channel, used, column, WIDTH
                )
        target = gradient + row * gradient_row + channel
        inside = (row >= 0) & (row < rows) & used
        tl.store(target, gate_gradient.to(gradient.dtype.element_ty), mask=inside)
        tl.store(target + channels, value_gradient.to(gradient.dtype.element_ty), mask=inside)
    program = batch * tl.num_programs(0) + tl.program_id(0)
    partial += program * (2 * channels * COLUMNS)
    _store_sums(partial, gate_sums, channels, first, COLUMNS, CHANNELS)
    _store_sums(partial + channels * COLUMNS, value_sums, channels, first, COLUMNS, CHANNELS)


@triton.jit
def finish_forward(
    projected, weight, bias, value, output, batch_stride, row_stride,
    value_batch, value_channel, value_position, channels, rows, context,
    WIDTH: tl.constexpr, ROWS: tl.constexpr, CHANNELS: tl.constexpr,
):  # fmt: skip
    """Filtered `projected` [B, rows, channels] times `value` into `output` [B, rows - context, channels]."""
    length = rows - context
    position = (tl.program_id(0) * ROWS + tl.arange(0, ROWS)).to(tl.int64)[:, None]
    channel = (tl.program_id(1) * CHANNELS + tl.arange(0, CHANNELS))[None, :]
    batch = tl.program_id(2).to(tl.int64)
    used = channel < channels
    gate = _filtered(
        projected + batch * batch_stride, weight, bias, position + context, rows, row_stride, channel, used, WIDTH
    )
    arrived = _received(value + batch * value_batch, position, length, channel, value_channel, value_position, used)
    place = (batch * length + position) * channels + channel
    tl.store(output + place, (gate * arrived).to(output.dtype.element_ty), mask=used & (position < length))


@triton.jit
def finish_backward(
    received, projected, weight, bias, value, gradient, value_gradient, partial,
    received_batch, received_row, batch_stride, row_stride, value_batch, value_channel, value_position,
    gradient_batch, gradient_row, channels, rows, context, lead, share,
    WIDTH: tl.constexpr, COLUMNS: tl.constexpr, ROWS: tl.constexpr, CHANNELS: tl.constexpr,
):  # fmt: skip
    """The gradients of `projected`, of `value` [B, channels, rows - context], and sums as in `gate_backward`."""
    length = rows - context
    first = tl.program_id(1) * CHANNELS
    channel = (first + tl.arange(0, CHANNELS))[None, :]
    batch = tl.program_id(2).to(tl.int64)
    used = channel < channels
    received += batch * received_batch
    projected += batch * batch_stride
    value += batch * value_batch
    gradient += batch * gradient_batch
    column = tl.arange(0, COLUMNS)[None, :]
    sums = tl.zeros((CHANNELS, COLUMNS), tl.float32)
    for number in range(share):
        start = (tl.program_id(0) * share + number) * ROWS - lead
        position = (start + tl.arange(0, ROWS)).to(tl.int64)[:, None]
        row = position + context
        gate_gradient = tl.zeros((ROWS, CHANNELS), tl.float32)
        for ahead in tl.static_range(WIDTH):
            arrived = _shifted(received, position, ahead, length, received_row, channel, used)
            factor = _received(value, position + ahead, length, channel, value_channel, value_position, used)
            to_gate = arrived * factor
            gate_gradient += _tap(weight, channel, WIDTH - 1 - ahead, used, WIDTH) * to_gate
            if ahead == 0:
                sums += _parameter_sums(to_gate, projected, row, rows, row_stride, channel, used, column, WIDTH)
                gate = _filtered(projected, weight, bias, row, rows, row_stride, channel, used, WIDTH)
                place = (batch * channels + channel) * length + position
                inside = (position >= 0) & (position < length) & used
                tl.store(value_gradient + place, (arrived * gate).to(value_gradient.dtype.element_ty), mask=inside)
        target = gradient + row * gradient_row + channel
        inside = (row >= 0) & (row < rows) & used
        tl.store(target, gate_gradient.to(gradient.dtype.element_ty), mask=inside)
    program = batch * tl.num_programs(0) + tl.program_id(0)
    _store_sums(partial + program * (channels * COLUMNS), sums, channels, first, COLUMNS, CHANNELS)
