"""Triton kernels of the implicit filter: three sine layers, the last linear one and the window, nothing of them stored.

Everything is computed with positions along the columns of a tile [units, T], as the filter [R, L] lies in memory, in
fp32 by products of three tf32 parts.
"""

import triton
import triton.language as tl

# Positions of a tile forward and backward, filter rows of a block.
FORWARD_TILE = tl.constexpr(64)
BACKWARD_TILE = tl.constexpr(32)
BLOCK = tl.constexpr(64)


@triton.jit
def _sine_of_remainder(value, turns):
    """sin(value - turns pi) · (-1)^ceil(turns), for a difference within pi / 2, to 1e-7."""
    value = value - turns * 3.140625 - turns * 9.67025756835937500e-4 - turns * 6.2771141529083252e-7
    square = value * value
    series = 2.6083159809786593e-6 * square - 1.9810690719168633e-4
    series = (series * square + 8.3330785855650902e-3) * square - 1.6666659712791443e-1
    value += value * square * series
    return tl.where((tl.ceil(turns).to(tl.int32) & 1) == 1, -value, value)


@triton.jit
def _sine(value):
    return _sine_of_remainder(value, tl.floor(value * 0.3183098861837907 + 0.5))


@triton.jit
def _cosine(value):
    """sin(value + pi / 2)."""
    return _sine_of_remainder(value, tl.floor(value * 0.3183098861837907 + 1.0) - 0.5)


@triton.jit
def _product(left, right):
    return tl.dot(left, right, input_precision="tf32x3")


@triton.jit
def _square(weight, WIDTH: tl.constexpr):
    line = tl.arange(0, WIDTH)
    return tl.load(weight + line[:, None] * WIDTH + line[None, :])


@triton.jit
def _first(features, weight, bias, position, length, FEATURES: tl.constexpr, WIDTH: tl.constexpr):
    """Before the first sine [W, T]; weight [W, E], features [L, E]."""
    line = tl.arange(0, WIDTH)
    value = tl.load(bias + line)[:, None] + tl.zeros((WIDTH, position.shape[0]), tl.float32)
    for feature in tl.static_range(FEATURES):
        column = tl.load(features + position * FEATURES + feature, mask=position < length, other=0.0)
        value += tl.load(weight + line * FEATURES + feature)[:, None] * column[None, :]
    return value


@triton.jit
def _hidden(weights, biases, layer: tl.constexpr, below, WIDTH: tl.constexpr):
    """Before the sine of an inner layer [W, T]; weights [2, W, W], biases [2, W]."""
    bias = tl.load(biases + layer * WIDTH + tl.arange(0, WIDTH))
    return _product(_square(weights + layer * WIDTH * WIDTH, WIDTH), below) + bias[:, None]


@triton.jit
def _window(time, deltas, row, rows, shift):
    """exp(-t |delta|) + shift at rows [BLOCK] and times [T]."""
    delta = tl.abs(tl.load(deltas + row, mask=row < rows, other=0.0))
    return tl.exp(-time[None, :] * delta[:, None]) + shift


@triton.jit
def _last(weight, row, rows, WIDTH: tl.constexpr):
    """Rows [BLOCK, W] of the last layer's weight."""
    place = row[:, None] * WIDTH + tl.arange(0, WIDTH)[None, :]
    return tl.load(weight + place, mask=(row < rows)[:, None], other=0.0)


@triton.jit
def filter_forward(
    features, times, first_weight, first_bias, weights, biases, frequency, last_weight, deltas, output,
    length, rows, shift,
    FEATURES: tl.constexpr, WIDTH: tl.constexpr,
):  # fmt: skip
    """Filters [R, L] from features [L, E] and times [L]."""
    position = tl.program_id(0) * FORWARD_TILE + tl.arange(0, FORWARD_TILE)
    sine = tl.load(frequency + tl.arange(0, WIDTH))[:, None]
    value = _sine(sine * _first(features, first_weight, first_bias, position, length, FEATURES, WIDTH))
    value = _sine(sine * _hidden(weights, biases, 0, value, WIDTH))
    value = _sine(sine * _hidden(weights, biases, 1, value, WIDTH))
    time = tl.load(times + position, mask=position < length, other=0.0)
    for block in range(tl.cdiv(rows, BLOCK)):
        row = block * BLOCK + tl.arange(0, BLOCK)
        taps = _product(_last(last_weight, row, rows, WIDTH), value) * _window(time, deltas, row, rows, shift)
        place = row[:, None].to(tl.int64) * length + position[None, :]
        tl.store(output + place, taps, mask=(row < rows)[:, None] & (position < length)[None, :])


@triton.jit
def last_weight_gradient(
    received, features, times, first_weight, first_bias, weights, biases, frequency, deltas, partial,
    length, rows, shift, share,
    FEATURES: tl.constexpr, WIDTH: tl.constexpr,
):  # fmt: skip
    """The last layer's gradient over `share` tiles and one block of rows, into `partial` [shares, R, W]."""
    row = tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)
    sine = tl.load(frequency + tl.arange(0, WIDTH))[:, None]
    total = tl.zeros((BLOCK, WIDTH), tl.float32)
    for tile in range(tl.program_id(0) * share, tl.program_id(0) * share + share):
        position = tile * FORWARD_TILE + tl.arange(0, FORWARD_TILE)
        value = _sine(sine * _first(features, first_weight, first_bias, position, length, FEATURES, WIDTH))
        value = _sine(sine * _hidden(weights, biases, 0, value, WIDTH))
        value = _sine(sine * _hidden(weights, biases, 1, value, WIDTH))
        time = tl.load(times + position, mask=position < length, other=0.0)
        place = row[:, None].to(tl.int64) * length + position[None, :]
        inside = (row < rows)[:, None] & (position < length)[None, :]
        taps = tl.load(received + place, mask=inside, other=0.0) * _window(time, deltas, row, rows, shift)
        total += _product(taps, tl.trans(value))
    place = row[:, None] * WIDTH + tl.arange(0, WIDTH)[None, :]
    tl.store(partial + tl.program_id(0) * rows * WIDTH + place, total, mask=(row < rows)[:, None])


@triton.jit
def _below_sine(received, value, sine):
    """Of sin(f x): the gradients of x [W, T] and of f [W]."""
    slope = received * _cosine(sine * value)
    return slope * sine, tl.sum(slope * value, axis=1)


@triton.jit
def sine_layers_gradient(
    received, features, times, first_weight, first_bias, weights, biases, frequency, last_weight, deltas,
    first_partial, inner_partial, unit_partial, length, rows, shift, share,
    FEATURES: tl.constexpr, WIDTH: tl.constexpr,
):  # fmt: skip
    """The sine layers' gradients over `share` tiles.

    Partial sums: first weights [shares, E, W], inner weights [shares, 2, W, W], and [shares, 4, W] of the frequency and
    the three biases.
    """
    program = tl.program_id(0)
    line = tl.arange(0, WIDTH)
    sine = tl.load(frequency + line)[:, None]
    upper_total = tl.zeros((WIDTH, WIDTH), tl.float32)
    lower_total = tl.zeros((WIDTH, WIDTH), tl.float32)
    sine_total = tl.zeros((WIDTH,), tl.float32)
    upper_bias = tl.zeros((WIDTH,), tl.float32)
    lower_bias = tl.zeros((WIDTH,), tl.float32)
    bias = tl.zeros((WIDTH,), tl.float32)
    for tile in range(program * share, program * share + share):
        position = tile * BACKWARD_TILE + tl.arange(0, BACKWARD_TILE)
        first = _first(features, first_weight, first_bias, position, length, FEATURES, WIDTH)
        lower = _hidden(weights, biases, 0, _sine(sine * first), WIDTH)
        upper = _hidden(weights, biases, 1, _sine(sine * lower), WIDTH)
        time = tl.load(times + position, mask=position < length, other=0.0)
        gradient = tl.zeros((WIDTH, BACKWARD_TILE), tl.float32)
        for block in range(tl.cdiv(rows, BLOCK)):
            row = block * BLOCK + tl.arange(0, BLOCK)
            place = row[:, None].to(tl.int64) * length + position[None, :]
            inside = (row < rows)[:, None] & (position < length)[None, :]
            taps = tl.load(received + place, mask=inside, other=0.0) * _window(time, deltas, row, rows, shift)
            gradient += _product(tl.trans(_last(last_weight, row, rows, WIDTH)), taps)
        gradient, part = _below_sine(gradient, upper, sine)
        sine_total += part
        upper_bias += tl.sum(gradient, axis=1)
        upper_total += _product(gradient, tl.trans(_sine(sine * lower)))
        gradient = _product(tl.trans(_square(weights + WIDTH * WIDTH, WIDTH)), gradient)
        gradient, part = _below_sine(gradient, lower, sine)
        sine_total += part
        lower_bias += tl.sum(gradient, axis=1)
        lower_total += _product(gradient, tl.trans(_sine(sine * first)))
        gradient = _product(tl.trans(_square(weights, WIDTH)), gradient)
        gradient, part = _below_sine(gradient, first, sine)
        sine_total += part
        bias += tl.sum(gradient, axis=1)
        target = first_partial + program * (FEATURES * WIDTH) + line
        for feature in tl.static_range(FEATURES):
            column = tl.load(features + position * FEATURES + feature, mask=position < length, other=0.0)
            before = tl.load(target + feature * WIDTH)
            tl.store(target + feature * WIDTH, before + tl.sum(gradient * column[None, :], axis=1))
    place = line[:, None] * WIDTH + line[None, :]
    target = inner_partial + program * (2 * WIDTH * WIDTH) + place
    tl.store(target, lower_total)
    tl.store(target + WIDTH * WIDTH, upper_total)
    target = unit_partial + program * (4 * WIDTH) + line
    tl.store(target, sine_total)
    tl.store(target + WIDTH, bias)
    tl.store(target + 2 * WIDTH, lower_bias)
    tl.store(target + 3 * WIDTH, upper_bias)
