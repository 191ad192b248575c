"""Triton kernels of the short convolution with its gates: each big tensor is read once from memory and written once.

A program computes tiles of ROWS positions by CHANNELS channels. Projections have their channels contiguous, values
their positions; Triton turns a tile through shared memory between the two. Neighbouring positions come from the cache.
In the backward passes tiles overlap by the filter's reach, so that no value is filtered more than once for a gradient.

Batch strides of what has its channels contiguous are counted in pairs of elements, and told to the compiler as nothing
more: a thread then takes two channels and many rows, not eight channels with all their taps.
"""

import triton
import triton.language as tl


@triton.jit
def _places(source, start, local, channel, STRIDE: tl.constexpr):
    """Where `source` [rows, channels] has the rows `start + local` [ROWS, 1]."""
    return source + start.to(tl.int64) * STRIDE + (local * STRIDE + channel)


@triton.jit
def _shifted(places, row, shift: tl.constexpr, rows, used, STRIDE: tl.constexpr):
    """What stands at `row + shift`, zero outside of `rows`, in fp32; the shift costs no address of its own."""
    inside = (row >= -shift) & (row < rows - shift) & used
    return tl.load(places + shift * STRIDE, mask=inside, other=0.0).to(tl.float32)


@triton.jit
def _tap(weight, channel, number, used, WIDTH: tl.constexpr):
    return tl.load(weight + channel * WIDTH + number, mask=used, other=0.0).to(tl.float32)


@triton.jit
def _filtered(
    places, weight, bias, row, rows, channel, used, WIDTH: tl.constexpr, STRIDE: tl.constexpr
):  # fmt: skip
    """The causal convolution at `row` [ROWS, 1] of `channel` [1, CHANNELS], fp32."""
    total = tl.load(bias + channel, mask=used, other=0.0).to(tl.float32)
    for tap in tl.static_range(WIDTH):
        value = _shifted(places, row, tap - WIDTH + 1, rows, used, STRIDE)
        total = total + _tap(weight, channel, tap, used, WIDTH) * value
    return total


@triton.jit
def _received(source, position, length, channel, channel_stride, position_stride, used):
    """`source` [channels, positions] at `position` [ROWS, 1], zero outside, in fp32."""
    inside = (position >= 0) & (position < length) & used
    place = channel.to(tl.int64) * channel_stride + position * position_stride
    return tl.load(source + place, mask=inside, other=0.0).to(tl.float32)


@triton.jit
def _later(values, ahead: tl.constexpr, ROWS: tl.constexpr, CHANNELS: tl.constexpr):
    """`values` [ROWS, CHANNELS] of the rows `ahead` after each, of the last row for the last."""
    row = tl.minimum(tl.arange(0, ROWS) + ahead, ROWS - 1)
    return tl.gather(values, tl.broadcast_to(row[:, None], ROWS, CHANNELS), 0)


@triton.jit
def _adjoint(
    gradient, weight, channel, used, WIDTH: tl.constexpr, ROWS: tl.constexpr, CHANNELS: tl.constexpr
):  # fmt: skip
    """What `_filtered` makes of its input's gradient from its output's; the last WIDTH - 1 rows are not whole."""
    total = _tap(weight, channel, WIDTH - 1, used, WIDTH) * gradient
    for ahead in tl.static_range(1, WIDTH):
        total += _tap(weight, channel, WIDTH - 1 - ahead, used, WIDTH) * _later(gradient, ahead, ROWS, CHANNELS)
    return total


@triton.jit
def _over_rows(values, ROWS: tl.constexpr, CHANNELS: tl.constexpr, WARPS: tl.constexpr):
    """The sums over each warp's rows, of which a thread holds the same channels: [WARPS, CHANNELS]."""
    return tl.sum(tl.reshape(values, (ROWS // WARPS, WARPS, CHANNELS)), axis=0)


@triton.jit
def _no_sums(WIDTH: tl.constexpr, CHANNELS: tl.constexpr, WARPS: tl.constexpr):
    """For each tap, then the bias."""
    sums = (tl.zeros((WARPS, CHANNELS), tl.float32),)
    for _ in tl.static_range(WIDTH):
        sums = sums + (tl.zeros((WARPS, CHANNELS), tl.float32),)
    return sums


@triton.jit
def _with_sums(
    sums, gradient, places, row, rows, used, WIDTH: tl.constexpr, STRIDE: tl.constexpr,
    ROWS: tl.constexpr, CHANNELS: tl.constexpr, WARPS: tl.constexpr,
):  # fmt: skip
    """`sums` with a tile's part of the gradients of taps and bias, from its filtered `gradient`."""
    total = ()
    for tap in tl.static_range(WIDTH):
        value = _shifted(places, row, tap - WIDTH + 1, rows, used, STRIDE)
        total = total + (sums[tap] + _over_rows(gradient * value, ROWS, CHANNELS, WARPS),)
    return total + (sums[WIDTH] + _over_rows(gradient, ROWS, CHANNELS, WARPS),)


@triton.jit
def _store_sums(partial, sums, channels, first, WIDTH: tl.constexpr, CHANNELS: tl.constexpr):
    """Into `partial` [WIDTH + 1, channels]."""
    channel = first + tl.arange(0, CHANNELS)
    for number in tl.static_range(WIDTH + 1):
        tl.store(partial + number * channels + channel, tl.sum(sums[number], axis=0), mask=channel < channels)


@triton.jit(do_not_specialize=["batch_pairs"])
def gate_forward(
    projected, weight, bias, signal, batch_pairs, channels, length, context,
    WIDTH: tl.constexpr, STRIDE: tl.constexpr, ROWS: tl.constexpr, CHANNELS: tl.constexpr,
):  # fmt: skip
    """The product of both halves of `projected` [B, context + length, 2 channels], into [B, channels, length]."""
    rows = length + context
    start = tl.program_id(0) * ROWS
    local = tl.arange(0, ROWS)[:, None]
    channel = (tl.program_id(1) * CHANNELS + tl.arange(0, CHANNELS))[None, :]
    batch = tl.program_id(2).to(tl.int64)
    used = channel < channels
    projected += batch * (2 * batch_pairs)
    position = start + local
    row = position + context
    places = _places(projected, start + context, local, channel, STRIDE)
    gate = _filtered(places, weight, bias, row, rows, channel, used, WIDTH, STRIDE)
    value = _filtered(
        places + channels, weight + channels * WIDTH, bias + channels, row, rows, channel, used, WIDTH, STRIDE
    )
    place = (batch * channels + channel) * length + position
    product = (gate * value).to(signal.dtype.element_ty)
    tl.store(signal + place, product, mask=used & (position < length))


@triton.jit(do_not_specialize=["batch_pairs", "gradient_pairs"])
def gate_backward(
    received, projected, weight, bias, gradient, partial,
    received_batch, received_channel, received_position, batch_pairs, gradient_pairs, channels, length, context, share,
    WIDTH: tl.constexpr, STRIDE: tl.constexpr, GRADIENT_STRIDE: tl.constexpr,
    ROWS: tl.constexpr, CHANNELS: tl.constexpr, WARPS: tl.constexpr,
):  # fmt: skip
    """The gradient of `projected`, and of taps and biases a program's `partial` [programs, 2, WIDTH + 1, channels].

    A program takes `share` tiles.
    """
    rows = length + context
    first = tl.program_id(1) * CHANNELS
    channel = (first + tl.arange(0, CHANNELS))[None, :]
    batch = tl.program_id(2).to(tl.int64)
    used = channel < channels
    received += batch * received_batch
    projected += batch * (2 * batch_pairs)
    gradient += batch * (2 * gradient_pairs)
    value_weight, value_bias = weight + channels * WIDTH, bias + channels
    gate_sums = _no_sums(WIDTH, CHANNELS, WARPS)
    value_sums = _no_sums(WIDTH, CHANNELS, WARPS)
    local = tl.arange(0, ROWS)[:, None]
    own = local <= ROWS - WIDTH  # the others are the next tile's
    for number in range(share):
        start = (tl.program_id(0) * share + number) * (ROWS - WIDTH + 1)
        row = start + local
        places = _places(projected, start, local, channel, STRIDE)
        target = _places(gradient, start, local, channel, GRADIENT_STRIDE)
        inside = own & (row < rows) & used
        position = row - context
        arrived = _received(received, position, length, channel, received_channel, received_position, used)
        value = _filtered(places + channels, value_weight, value_bias, row, rows, channel, used, WIDTH, STRIDE)
        to_gate = arrived * value
        gate_gradient = _adjoint(to_gate, weight, channel, used, WIDTH, ROWS, CHANNELS)
        tl.store(target, gate_gradient.to(gradient.dtype.element_ty), mask=inside)
        gate_sums = _with_sums(
            gate_sums, tl.where(own, to_gate, 0.0), places, row, rows, used,
            WIDTH, STRIDE, ROWS, CHANNELS, WARPS,
        )  # fmt: skip
        gate = _filtered(places, weight, bias, row, rows, channel, used, WIDTH, STRIDE)
        to_value = arrived * gate
        value_gradient = _adjoint(to_value, value_weight, channel, used, WIDTH, ROWS, CHANNELS)
        tl.store(target + channels, value_gradient.to(gradient.dtype.element_ty), mask=inside)
        value_sums = _with_sums(
            value_sums, tl.where(own, to_value, 0.0), places + channels, row, rows, used,
            WIDTH, STRIDE, ROWS, CHANNELS, WARPS,
        )  # fmt: skip
    program = batch * tl.num_programs(0) + tl.program_id(0)
    partial += program * (2 * (WIDTH + 1) * channels)
    _store_sums(partial, gate_sums, channels, first, WIDTH, CHANNELS)
    _store_sums(partial + (WIDTH + 1) * channels, value_sums, channels, first, WIDTH, CHANNELS)


@triton.jit(do_not_specialize=["batch_pairs"])
def finish_forward(
    projected, weight, bias, value, output, batch_pairs, value_batch, value_channel, value_position,
    channels, length, context,
    WIDTH: tl.constexpr, STRIDE: tl.constexpr, ROWS: tl.constexpr, CHANNELS: tl.constexpr,
):  # fmt: skip
    """Filtered `projected` [B, context + length, channels] times `value` into `output` [B, length, channels]."""
    rows = length + context
    start = tl.program_id(0) * ROWS
    local = tl.arange(0, ROWS)[:, None]
    channel = (tl.program_id(1) * CHANNELS + tl.arange(0, CHANNELS))[None, :]
    batch = tl.program_id(2).to(tl.int64)
    used = channel < channels
    projected += batch * (2 * batch_pairs)
    position = start + local
    places = _places(projected, start + context, local, channel, STRIDE)
    gate = _filtered(places, weight, bias, position + context, rows, channel, used, WIDTH, STRIDE)
    value += batch * value_batch
    arrived = _received(value, position, length, channel, value_channel, value_position, used)
    place = (batch * length + position) * channels + channel
    tl.store(output + place, (gate * arrived).to(output.dtype.element_ty), mask=used & (position < length))


@triton.jit(do_not_specialize=["received_pairs", "batch_pairs", "gradient_pairs"])
def finish_backward(
    received, projected, weight, bias, value, gradient, value_gradient, partial,
    received_pairs, batch_pairs, value_batch, value_channel, value_position, gradient_pairs,
    channels, length, context, share,
    WIDTH: tl.constexpr, RECEIVED_STRIDE: tl.constexpr, STRIDE: tl.constexpr,
    GRADIENT_STRIDE: tl.constexpr, ROWS: tl.constexpr, CHANNELS: tl.constexpr, WARPS: tl.constexpr,
):  # fmt: skip
    """The gradients of `projected`, of `value` into [B, channels, length], and sums as in `gate_backward`."""
    rows = length + context
    first = tl.program_id(1) * CHANNELS
    channel = (first + tl.arange(0, CHANNELS))[None, :]
    batch = tl.program_id(2).to(tl.int64)
    used = channel < channels
    received += batch * (2 * received_pairs)
    projected += batch * (2 * batch_pairs)
    value += batch * value_batch
    gradient += batch * (2 * gradient_pairs)
    sums = _no_sums(WIDTH, CHANNELS, WARPS)
    local = tl.arange(0, ROWS)[:, None]
    own = local <= ROWS - WIDTH  # the others are the next tile's
    for number in range(share):
        start = (tl.program_id(0) * share + number) * (ROWS - WIDTH + 1)
        row = start + local
        position = row - context
        places = _places(projected, start, local, channel, STRIDE)
        arrived = _places(received, start - context, local, channel, RECEIVED_STRIDE)
        arrived = _shifted(arrived, position, 0, length, used, RECEIVED_STRIDE)
        gate = _filtered(places, weight, bias, row, rows, channel, used, WIDTH, STRIDE)
        place = (batch * channels + channel) * length + position
        inside = own & (position >= 0) & (position < length) & used
        tl.store(value_gradient + place, (arrived * gate).to(value_gradient.dtype.element_ty), mask=inside)
        to_gate = arrived * _received(value, position, length, channel, value_channel, value_position, used)
        gate_gradient = _adjoint(to_gate, weight, channel, used, WIDTH, ROWS, CHANNELS)
        target = _places(gradient, start, local, channel, GRADIENT_STRIDE)
        tl.store(target, gate_gradient.to(gradient.dtype.element_ty), mask=own & (row < rows) & used)
        sums = _with_sums(
            sums, tl.where(own, to_gate, 0.0), places, row, rows, used,
            WIDTH, STRIDE, ROWS, CHANNELS, WARPS,
        )  # fmt: skip
    program = batch * tl.num_programs(0) + tl.program_id(0)
    _store_sums(partial + program * ((WIDTH + 1) * channels), sums, channels, first, WIDTH, CHANNELS)
