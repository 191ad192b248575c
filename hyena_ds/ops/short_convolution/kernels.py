"""Triton kernels of the short convolution with its gates: each big tensor is read once from memory and written once.

A thread walks along the positions of one channel and keeps what the filter reaches back to in its registers: no value
is shifted between threads. Projections, whose channels are contiguous, come ROWS rows at once, a tuple of vectors
[CHANNELS]; signals, whose positions are, SPAN positions at once, since writing less than 32 bytes takes as long. The
gradient of a projection is written the filter's reach behind, where it is whole.
"""

import triton
import triton.language as tl


@triton.jit
def _lane(channels, CHANNELS: tl.constexpr):
    """A program's channels, and which of them there are."""
    channel = tl.program_id(1) * CHANNELS + tl.arange(0, CHANNELS)
    return channel, channel < channels


@triton.jit
def _rows(source, row, rows, used, COUNT: tl.constexpr, STRIDE: tl.constexpr):
    """COUNT rows of `source` from `row` on in fp32, zero outside of `rows`."""
    places = source + row.to(tl.int64) * STRIDE
    found = ()
    for step in tl.static_range(COUNT):
        inside = (row + step >= 0) & (row + step < rows) & used
        found = found + (tl.load(places + step * STRIDE, mask=inside, other=0.0).to(tl.float32),)
    return found


@triton.jit
def _store_rows(target, values, row, rows, used, COUNT: tl.constexpr, STRIDE: tl.constexpr):
    """The inverse of `_rows`."""
    places = target + row.to(tl.int64) * STRIDE
    for step in tl.static_range(COUNT):
        inside = (row + step >= 0) & (row + step < rows) & used
        tl.store(places + step * STRIDE, values[step].to(target.dtype.element_ty), mask=inside)


@triton.jit
def _columns(tile, COUNT: tl.constexpr, CHANNELS: tl.constexpr):
    """The columns of `tile` [CHANNELS, COUNT] in fp32."""
    if COUNT == 1:
        columns = (tl.reshape(tile, (CHANNELS,)).to(tl.float32),)
    else:
        first, last = tl.split(tl.permute(tl.reshape(tile, (CHANNELS, 2, COUNT // 2)), (0, 2, 1)))
        columns = _columns(first, COUNT // 2, CHANNELS) + _columns(last, COUNT // 2, CHANNELS)
    return columns


@triton.jit
def _tile(columns, COUNT: tl.constexpr, CHANNELS: tl.constexpr):
    """The inverse of `_columns`."""
    if COUNT == 1:
        tile = tl.reshape(columns[0], (CHANNELS, 1))
    else:
        first = _tile(columns[: COUNT // 2], COUNT // 2, CHANNELS)
        last = _tile(columns[COUNT // 2 :], COUNT // 2, CHANNELS)
        tile = tl.reshape(tl.permute(tl.join(first, last), (0, 2, 1)), (CHANNELS, COUNT))
    return tile


@triton.jit
def _places(position, channel, channel_stride, position_stride, COUNT: tl.constexpr):
    """Where a signal [channels, positions] has COUNT positions of `channel`: [CHANNELS, COUNT], and the positions."""
    positions = (position + tl.arange(0, COUNT))[None, :]
    return channel.to(tl.int64)[:, None] * channel_stride + positions * position_stride, positions


@triton.jit
def _signal(
    source, position, length, channel, used, channel_stride, position_stride,
    COUNT: tl.constexpr, CHANNELS: tl.constexpr,
):  # fmt: skip
    """COUNT positions of a signal [channels, length] as `_rows` gives those of a projection."""
    places, positions = _places(position, channel, channel_stride, position_stride, COUNT)
    inside = (positions >= 0) & (positions < length) & used[:, None]
    return _columns(tl.load(source + places, mask=inside, other=0.0), COUNT, CHANNELS)


@triton.jit
def _store_signal(
    target, columns, position, length, channel, used, COUNT: tl.constexpr, CHANNELS: tl.constexpr
):  # fmt: skip
    """The inverse of `_signal`, contiguous."""
    places, positions = _places(position, channel, length, 1, COUNT)
    inside = (positions >= 0) & (positions < length) & used[:, None]
    tl.store(target + places, _tile(columns, COUNT, CHANNELS).to(target.dtype.element_ty), mask=inside)


@triton.jit
def _signal_before(
    source, position, length, channel, used, channel_stride, position_stride, COUNT: tl.constexpr
):  # fmt: skip
    """The COUNT positions before `position` one by one, in fp32."""
    found = ()
    for step in tl.static_range(COUNT):
        place = position - COUNT + step
        inside = (place >= 0) & (place < length) & used
        places = channel.to(tl.int64) * channel_stride + place * position_stride
        found = found + (tl.load(source + places, mask=inside, other=0.0).to(tl.float32),)
    return found


@triton.jit
def _taps(weight, bias, channel, used, WIDTH: tl.constexpr):
    """The WIDTH taps of each channel's filter, and the bias."""
    found = ()
    for tap in tl.static_range(WIDTH):
        found = found + (tl.load(weight + channel * WIDTH + tap, mask=used, other=0.0).to(tl.float32),)
    return found + (tl.load(bias + channel, mask=used, other=0.0).to(tl.float32),)


@triton.jit
def _filtered(rows, taps, COUNT: tl.constexpr, WIDTH: tl.constexpr):
    """The causal convolution at the last COUNT of `rows`, which begin WIDTH - 1 before."""
    found = ()
    for step in tl.static_range(COUNT):
        total = taps[WIDTH]
        for tap in tl.static_range(WIDTH):
            total = total + taps[tap] * rows[step + tap]
        found = found + (total,)
    return found


@triton.jit
def _adjoint(gradients, taps, COUNT: tl.constexpr, WIDTH: tl.constexpr):
    """What `_filtered` makes of its input's gradient from its output's, at the first COUNT of `gradients`."""
    found = ()
    for step in tl.static_range(COUNT):
        total = taps[WIDTH - 1] * gradients[step]
        for ahead in tl.static_range(1, WIDTH):
            total = total + taps[WIDTH - 1 - ahead] * gradients[step + ahead]
        found = found + (total,)
    return found


@triton.jit
def _products(first, second, COUNT: tl.constexpr):
    found = ()
    for step in tl.static_range(COUNT):
        found = found + (first[step] * second[step],)
    return found


@triton.jit
def _no_sums(WIDTH: tl.constexpr, CHANNELS: tl.constexpr):
    """For each tap, then the bias."""
    sums = ()
    for _ in tl.static_range(WIDTH + 1):
        sums = sums + (tl.zeros((CHANNELS,), tl.float32),)
    return sums


@triton.jit
def _with_sums(sums, gradients, rows, COUNT: tl.constexpr, WIDTH: tl.constexpr):
    """`sums` with what COUNT `gradients` of filtered `rows` add to the gradients of taps and bias."""
    found = ()
    for tap in tl.static_range(WIDTH):
        total = sums[tap]
        for step in tl.static_range(COUNT):
            total = total + gradients[step] * rows[step + tap]
        found = found + (total,)
    total = sums[WIDTH]
    for step in tl.static_range(COUNT):
        total = total + gradients[step]
    return found + (total,)


@triton.jit
def _store_sums(partial, sums, channels, channel, used, WIDTH: tl.constexpr):
    """Into `partial` [WIDTH + 1, channels]."""
    for number in tl.static_range(WIDTH + 1):
        tl.store(partial + number * channels + channel, sums[number], mask=used)


@triton.jit
def _leave_behind(
    target, sums, gradients, window, taps, row, rows, used,
    WIDTH: tl.constexpr, STRIDE: tl.constexpr, ROWS: tl.constexpr,
):  # fmt: skip
    """Store the input's gradient of the ROWS that are whole, from the filtered `gradients`; `sums` with theirs.

    `gradients` and the input's `window` end with the ROWS from `row` on and begin WIDTH - 1 before.
    """
    whole = _adjoint(gradients, taps, ROWS, WIDTH)
    _store_rows(target, whole, row - (WIDTH - 1), rows, used, ROWS, STRIDE)
    return _with_sums(sums, gradients[WIDTH - 1 :], window, ROWS, WIDTH)


@triton.jit(do_not_specialize=["context", "share"])
def gate_forward(
    projected, weight, bias, signal, batch_stride, channels, length, context, share,
    WIDTH: tl.constexpr, STRIDE: tl.constexpr, SPAN: tl.constexpr, ROWS: tl.constexpr, CHANNELS: tl.constexpr,
):  # fmt: skip
    """The product of both halves of `projected` [B, context + length, 2 channels], into [B, channels, length].

    A program takes `share` steps.
    """
    reach: tl.constexpr = WIDTH - 1
    channel, used = _lane(channels, CHANNELS)
    batch = tl.program_id(2).to(tl.int64)
    projected += batch * batch_stride + channel
    signal += batch * channels * length
    gate_taps = _taps(weight, bias, channel, used, WIDTH)
    value_taps = _taps(weight + channels * WIDTH, bias + channels, channel, used, WIDTH)
    rows = length + context
    first = tl.program_id(0) * share
    row = first * SPAN + context
    gates = _rows(projected, row - reach, rows, used, reach, STRIDE)
    values = _rows(projected + channels, row - reach, rows, used, reach, STRIDE)
    for number in range(share):
        position = (first + number) * SPAN
        gated = ()
        for step in tl.static_range(0, SPAN, ROWS):
            row = position + step + context
            gates = gates + _rows(projected, row, rows, used, ROWS, STRIDE)
            values = values + _rows(projected + channels, row, rows, used, ROWS, STRIDE)
            gate, value = _filtered(gates, gate_taps, ROWS, WIDTH), _filtered(values, value_taps, ROWS, WIDTH)
            gated = gated + _products(gate, value, ROWS)
            gates, values = gates[ROWS:], values[ROWS:]
        _store_signal(signal, gated, position, length, channel, used, SPAN, CHANNELS)


@triton.jit(do_not_specialize=["context", "share"])
def gate_backward(
    received, projected, weight, bias, gradient, partial,
    received_batch, received_channel, received_position, batch_stride, gradient_batch, channels, length, context, share,
    WIDTH: tl.constexpr, STRIDE: tl.constexpr, GRADIENT_STRIDE: tl.constexpr,
    SPAN: tl.constexpr, ROWS: tl.constexpr, CHANNELS: tl.constexpr,
):  # fmt: skip
    """The gradient of `projected`, and of taps and biases a program's `partial` [programs, 2, WIDTH + 1, channels]."""
    reach: tl.constexpr = WIDTH - 1
    channel, used = _lane(channels, CHANNELS)
    batch = tl.program_id(2).to(tl.int64)
    received += batch * received_batch
    projected += batch * batch_stride + channel
    gradient += batch * gradient_batch + channel
    gate_taps = _taps(weight, bias, channel, used, WIDTH)
    value_taps = _taps(weight + channels * WIDTH, bias + channels, channel, used, WIDTH)
    gate_sums, value_sums = _no_sums(WIDTH, CHANNELS), _no_sums(WIDTH, CHANNELS)
    rows = length + context
    first = tl.program_id(0) * share - tl.cdiv(context, SPAN)
    row = first * SPAN + context
    gates = _rows(projected, row - 2 * reach, rows, used, 2 * reach, STRIDE)
    values = _rows(projected + channels, row - 2 * reach, rows, used, 2 * reach, STRIDE)
    before = _signal_before(received, first * SPAN, length, channel, used, received_channel, received_position, reach)
    to_gates = _products(before, _filtered(values, value_taps, reach, WIDTH), reach)
    to_values = _products(before, _filtered(gates, gate_taps, reach, WIDTH), reach)
    gates, values = gates[reach:], values[reach:]
    for number in range(share):
        position = (first + number) * SPAN
        arrived = _signal(
            received, position, length, channel, used, received_channel, received_position, SPAN, CHANNELS
        )  # fmt: skip
        for step in tl.static_range(0, SPAN, ROWS):
            row = position + step + context
            here = arrived[step : step + ROWS]
            gates = gates + _rows(projected, row, rows, used, ROWS, STRIDE)
            values = values + _rows(projected + channels, row, rows, used, ROWS, STRIDE)
            to_gates = to_gates + _products(here, _filtered(values, value_taps, ROWS, WIDTH), ROWS)
            to_values = to_values + _products(here, _filtered(gates, gate_taps, ROWS, WIDTH), ROWS)
            gate_sums = _leave_behind(
                gradient, gate_sums, to_gates, gates, gate_taps, row, rows, used, WIDTH, GRADIENT_STRIDE, ROWS
            )  # fmt: skip
            value_sums = _leave_behind(
                gradient + channels, value_sums, to_values, values, value_taps, row, rows, used,
                WIDTH, GRADIENT_STRIDE, ROWS,
            )  # fmt: skip
            gates, values, to_gates, to_values = gates[ROWS:], values[ROWS:], to_gates[ROWS:], to_values[ROWS:]
    program = batch * tl.num_programs(0) + tl.program_id(0)
    partial += program * (2 * (WIDTH + 1) * channels)
    _store_sums(partial, gate_sums, channels, channel, used, WIDTH)
    _store_sums(partial + (WIDTH + 1) * channels, value_sums, channels, channel, used, WIDTH)


@triton.jit(do_not_specialize=["context", "share"])
def finish_forward(
    projected, weight, bias, value, output, batch_stride, value_batch, value_channel, value_position,
    channels, length, context, share,
    WIDTH: tl.constexpr, STRIDE: tl.constexpr, OUTPUT_STRIDE: tl.constexpr,
    SPAN: tl.constexpr, ROWS: tl.constexpr, CHANNELS: tl.constexpr,
):  # fmt: skip
    """Filtered `projected` [B, context + length, channels] times `value` into `output` [B, length, channels]."""
    reach: tl.constexpr = WIDTH - 1
    channel, used = _lane(channels, CHANNELS)
    batch = tl.program_id(2).to(tl.int64)
    projected += batch * batch_stride + channel
    value += batch * value_batch
    output += batch * length * OUTPUT_STRIDE + channel
    taps = _taps(weight, bias, channel, used, WIDTH)
    rows = length + context
    first = tl.program_id(0) * share
    gates = _rows(projected, first * SPAN + context - reach, rows, used, reach, STRIDE)
    for number in range(share):
        position = (first + number) * SPAN
        values = _signal(value, position, length, channel, used, value_channel, value_position, SPAN, CHANNELS)
        for step in tl.static_range(0, SPAN, ROWS):
            gates = gates + _rows(projected, position + step + context, rows, used, ROWS, STRIDE)
            gated = _products(values[step : step + ROWS], _filtered(gates, taps, ROWS, WIDTH), ROWS)
            _store_rows(output, gated, position + step, length, used, ROWS, OUTPUT_STRIDE)
            gates = gates[ROWS:]


@triton.jit(do_not_specialize=["context", "share"])
def finish_backward(
    received, projected, weight, bias, value, gradient, value_gradient, partial,
    received_batch, batch_stride, value_batch, value_channel, value_position, gradient_batch,
    channels, length, context, share,
    WIDTH: tl.constexpr, RECEIVED_STRIDE: tl.constexpr, STRIDE: tl.constexpr, GRADIENT_STRIDE: tl.constexpr,
    SPAN: tl.constexpr, ROWS: tl.constexpr, CHANNELS: tl.constexpr,
):  # fmt: skip
    """The gradients of `projected`, of `value` into [B, channels, length], and sums as in `gate_backward`."""
    reach: tl.constexpr = WIDTH - 1
    channel, used = _lane(channels, CHANNELS)
    batch = tl.program_id(2).to(tl.int64)
    received += batch * received_batch + channel
    projected += batch * batch_stride + channel
    value += batch * value_batch
    gradient += batch * gradient_batch + channel
    value_gradient += batch * channels * length
    taps = _taps(weight, bias, channel, used, WIDTH)
    sums = _no_sums(WIDTH, CHANNELS)
    rows = length + context
    first = tl.program_id(0) * share - tl.cdiv(context, SPAN)
    gates = _rows(projected, first * SPAN + context - reach, rows, used, reach, STRIDE)
    before = _signal_before(value, first * SPAN, length, channel, used, value_channel, value_position, reach)
    to_gates = _products(_rows(received, first * SPAN - reach, length, used, reach, RECEIVED_STRIDE), before, reach)
    for number in range(share):
        position = (first + number) * SPAN
        values = _signal(value, position, length, channel, used, value_channel, value_position, SPAN, CHANNELS)
        to_values = ()
        for step in tl.static_range(0, SPAN, ROWS):
            row = position + step + context
            arrived = _rows(received, position + step, length, used, ROWS, RECEIVED_STRIDE)
            gates = gates + _rows(projected, row, rows, used, ROWS, STRIDE)
            to_values = to_values + _products(arrived, _filtered(gates, taps, ROWS, WIDTH), ROWS)
            to_gates = to_gates + _products(arrived, values[step : step + ROWS], ROWS)
            sums = _leave_behind(
                gradient, sums, to_gates, gates, taps, row, rows, used, WIDTH, GRADIENT_STRIDE, ROWS
            )  # fmt: skip
            gates, to_gates = gates[ROWS:], to_gates[ROWS:]
        _store_signal(value_gradient, to_values, position, length, channel, used, SPAN, CHANNELS)
    program = batch * tl.num_programs(0) + tl.program_id(0)
    _store_sums(partial + program * ((WIDTH + 1) * channels), sums, channels, channel, used, WIDTH)
