"""Triton kernels of the implicit filter: three sine layers, the last linear one and the window, nothing of them stored.

Products are those of fp32: each value is the sum of two fp16 parts, and three of the four products of parts are added.
Tiles of the sine layers are [T, W], positions by units; those of the filter [R, T] lie as it does in memory.
"""

import triton
import triton.language as tl

from hyena_ds.ops.long_convolution.triton.arithmetic import largest_of, power_below

# Positions of a tile, filter rows of a block; the narrowest product, for a position's features, a one and zeros.
TILE = tl.constexpr(64)
BLOCK = tl.constexpr(64)
NARROWEST = tl.constexpr(16)
# What features and sines, up to 1, are multiplied by, so that the second parts of small ones are exact, too.
LIFT = tl.constexpr(1024.0)
# The power of two below a scaled weight's largest magnitude.
LARGEST_PART = tl.constexpr(8.0)


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
def _parts(value):
    """Two fp16 values that add up to one of fp32, to 2^-25 and for large ones to 2^-22 of it."""
    high = value.to(tl.float16)
    return high, (value - high.to(tl.float32)).to(tl.float16)


@triton.jit
def _scaled_parts(value):
    """The parts of value / scale, and the scale: a power of two of the largest magnitude's size."""
    scale, inverse = power_below(largest_of(value))
    high, low = _parts(value * inverse)
    return high, low, scale


@triton.jit
def _product(left_high, left_low, right_high, right_low):
    total = tl.dot(left_low, right_high)
    total = tl.dot(left_high, right_low, total)
    return tl.dot(left_high, right_high, total)


@triton.jit
def _folded(weight, frequency, row, rows, columns, COLUMNS: tl.constexpr, FOLD: tl.constexpr):
    """Rows [BLOCK] of `weight` [rows, columns] as [BLOCK, COLUMNS], with FOLD times `frequency` [rows]."""
    column = tl.arange(0, COLUMNS)[None, :]
    value = tl.load(weight + row * columns + column, mask=(row < rows) & (column < columns), other=0.0)
    if FOLD:
        value *= tl.load(frequency + row, mask=row < rows, other=0.0)
    return value


@triton.jit
def weight_parts(
    weight, frequency, parts, scales, rows, columns, COLUMNS: tl.constexpr, FOLD: tl.constexpr
):  # fmt: skip
    """The parts [2, rows, COLUMNS] of weights [rows, columns], with FOLD times `frequency` [rows], padded with zeros.

    A program takes one of several matrices. The parts are to be multiplied by its scale, a power of two.
    """
    weight += tl.program_id(0) * rows * columns
    parts += tl.program_id(0) * (2 * rows * COLUMNS)
    largest = 0.0
    for block in range(tl.cdiv(rows, BLOCK)):
        row = (tl.arange(0, BLOCK) + block * BLOCK)[:, None]
        largest = tl.maximum(largest, largest_of(_folded(weight, frequency, row, rows, columns, COLUMNS, FOLD)))
    power, inverse = power_below(largest)
    for block in range(tl.cdiv(rows, BLOCK)):
        row = (tl.arange(0, BLOCK) + block * BLOCK)[:, None]
        high, low = _parts(_folded(weight, frequency, row, rows, columns, COLUMNS, FOLD) * inverse * LARGEST_PART)
        place = parts + row * COLUMNS + tl.arange(0, COLUMNS)[None, :]
        tl.store(place, high, mask=row < rows)
        tl.store(place + rows * COLUMNS, low, mask=row < rows)
    tl.store(scales + tl.program_id(0), power / LARGEST_PART)


@triton.jit
def _weight(weight, ROWS: tl.constexpr, COLUMNS: tl.constexpr):
    """The parts of a weight [2, ROWS, COLUMNS]."""
    place = weight + tl.arange(0, ROWS)[:, None] * COLUMNS + tl.arange(0, COLUMNS)[None, :]
    return tl.load(place), tl.load(place + ROWS * COLUMNS)


@triton.jit
def _features(features, position, length, COUNT: tl.constexpr):
    """The parts of features [T, 16], lifted, at positions [T] of a table [L, COUNT]; behind them a one for the bias."""
    column = tl.arange(0, NARROWEST)[None, :]
    inside = (position < length)[:, None] & (column < COUNT)
    value = tl.load(features + position[:, None] * COUNT + column, mask=inside, other=0.0)
    return _parts(tl.where(column == COUNT, 1.0, value) * LIFT)


@triton.jit
def _layer(high, low, weight_high, weight_low, scale):
    """Products [T, W] of the parts of a lifted tile and a weight [W, K], which is to be multiplied by `scale`."""
    return _product(high, low, tl.trans(weight_high), tl.trans(weight_low)) * (scale / LIFT)


@triton.jit
def _window(time, deltas, row, rows, shift):
    """exp(-t |delta|) + shift at rows [BLOCK] and times [T]."""
    delta = tl.abs(tl.load(deltas + row, mask=row < rows, other=0.0))
    return tl.exp(-time[None, :] * delta[:, None]) + shift


@triton.jit
def _last(weight, row, rows, WIDTH: tl.constexpr):
    """The parts of rows [BLOCK] of the last layer's weight [2, R, W]."""
    place = weight + row[:, None] * WIDTH + tl.arange(0, WIDTH)[None, :]
    inside = (row < rows)[:, None]
    return tl.load(place, mask=inside, other=0.0), tl.load(place + rows * WIDTH, mask=inside, other=0.0)


@triton.jit
def _top(
    features, position, length, first_weight, inner_weights, biases, scales, WIDTH: tl.constexpr, COUNT: tl.constexpr
):  # fmt: skip
    """The parts of what the third sine gives [T, W], lifted."""
    high, low = _features(features, position, length, COUNT)
    weight_high, weight_low = _weight(first_weight, WIDTH, NARROWEST)
    value = _sine(_layer(high, low, weight_high, weight_low, tl.load(scales)))
    for layer in tl.static_range(2):
        high, low = _parts(value * LIFT)
        weight_high, weight_low = _weight(inner_weights + layer * (2 * WIDTH * WIDTH), WIDTH, WIDTH)
        bias = tl.load(biases + layer * WIDTH + tl.arange(0, WIDTH))[None, :]
        value = _sine(_layer(high, low, weight_high, weight_low, tl.load(scales + 1 + layer)) + bias)
    return _parts(value * LIFT)


@triton.jit
def filter_forward(
    features, times, deltas, first_weight, inner_weights, last_weight, biases, scales, output,
    length, rows, shift, share,
    COUNT: tl.constexpr, WIDTH: tl.constexpr,
):  # fmt: skip
    """Filters [R, L] from features [L, COUNT] and times [L], over `share` tiles.

    Weights are parts: [2, W, 16] with the bias as column COUNT, [2, 2, W, W] by layer and [2, R, W], each to be
    multiplied by its own of `scales` [4]; `biases` are [2, W].
    """
    for tile in range(tl.program_id(0) * share, tl.program_id(0) * share + share):
        position = tile * TILE + tl.arange(0, TILE)
        high, low = _top(features, position, length, first_weight, inner_weights, biases, scales, WIDTH, COUNT)
        high, low = tl.trans(high), tl.trans(low)
        time = tl.load(times + position, mask=position < length, other=0.0)
        scale = tl.load(scales + 3) / LIFT
        for block in range(tl.cdiv(rows, BLOCK)):
            row = block * BLOCK + tl.arange(0, BLOCK)
            weight_high, weight_low = _last(last_weight, row, rows, WIDTH)
            taps = _product(weight_high, weight_low, high, low) * (_window(time, deltas, row, rows, shift) * scale)
            place = row[:, None].to(tl.int64) * length + position[None, :]
            tl.store(output + place, taps, mask=(row < rows)[:, None] & (position < length)[None, :])


@triton.jit
def _received(received, row, rows, position, length, time, deltas, shift):
    """The parts of the gradient below the window [BLOCK, T], and their scale."""
    place = row[:, None].to(tl.int64) * length + position[None, :]
    inside = (row < rows)[:, None] & (position < length)[None, :]
    taps = tl.load(received + place, mask=inside, other=0.0)
    return _scaled_parts(taps * _window(time, deltas, row, rows, shift))


@triton.jit
def last_weight_gradient(
    received, features, times, deltas, first_weight, inner_weights, biases, scales, partial,
    length, rows, shift, share,
    COUNT: tl.constexpr, WIDTH: tl.constexpr,
):  # fmt: skip
    """The last layer's gradient over `share` tiles and one block of rows, into `partial` [shares, R, W]."""
    row = tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)
    total = tl.zeros((BLOCK, WIDTH), tl.float32)
    for tile in range(tl.program_id(0) * share, tl.program_id(0) * share + share):
        position = tile * TILE + tl.arange(0, TILE)
        high, low = _top(features, position, length, first_weight, inner_weights, biases, scales, WIDTH, COUNT)
        time = tl.load(times + position, mask=position < length, other=0.0)
        taps_high, taps_low, scale = _received(received, row, rows, position, length, time, deltas, shift)
        total += _product(taps_high, taps_low, high, low) * (scale / LIFT)
    place = row[:, None] * WIDTH + tl.arange(0, WIDTH)[None, :]
    tl.store(partial + tl.program_id(0).to(tl.int64) * rows * WIDTH + place, total, mask=(row < rows)[:, None])


@triton.jit
def _weight_gradient(gradient_high, gradient_low, scale, high, low):
    """[W, K] of a weight, from the gradient [T, W] of what it gives and what it multiplies [T, K], lifted."""
    return _product(tl.trans(gradient_high), tl.trans(gradient_low), high, low) * (scale / LIFT)


@triton.jit
def _bias_gradient(gradient_high, gradient_low, scale):
    """Sums over positions [W, 16], all columns alike."""
    ones = tl.full((TILE, NARROWEST), 1.0, tl.float16)
    return tl.dot(tl.trans(gradient_high), ones, tl.dot(tl.trans(gradient_low), ones)) * scale


@triton.jit
def sine_layers_gradient(
    received, features, times, deltas, first_weight, inner_weights, last_weight, biases, scales,
    first_partial, inner_partial, bias_partial, length, rows, shift, share,
    COUNT: tl.constexpr, WIDTH: tl.constexpr,
):  # fmt: skip
    """The sine layers' gradients over `share` tiles.

    Partial sums: [shares, W, 16] as `first_weight`, [shares, 2, W, W] and, all columns alike, [shares, 2, W, 16].
    """
    unit, column = tl.arange(0, WIDTH), tl.arange(0, NARROWEST)
    first_high, first_low = _weight(first_weight, WIDTH, NARROWEST)
    lower_high, lower_low = _weight(inner_weights, WIDTH, WIDTH)
    upper_high, upper_low = _weight(inner_weights + 2 * WIDTH * WIDTH, WIDTH, WIDTH)
    first_scale, lower_scale, upper_scale = tl.load(scales), tl.load(scales + 1), tl.load(scales + 2)
    first_total = tl.zeros((WIDTH, NARROWEST), tl.float32)
    lower_total, lower_bias = tl.zeros((WIDTH, WIDTH), tl.float32), tl.zeros((WIDTH, NARROWEST), tl.float32)
    upper_total, upper_bias = tl.zeros((WIDTH, WIDTH), tl.float32), tl.zeros((WIDTH, NARROWEST), tl.float32)
    for tile in range(tl.program_id(0) * share, tl.program_id(0) * share + share):
        position = tile * TILE + tl.arange(0, TILE)
        features_high, features_low = _features(features, position, length, COUNT)
        first = _layer(features_high, features_low, first_high, first_low, first_scale)
        under_high, under_low = _parts(_sine(first) * LIFT)
        bias = tl.load(biases + unit)[None, :]
        lower = _layer(under_high, under_low, lower_high, lower_low, lower_scale) + bias
        over_high, over_low = _parts(_sine(lower) * LIFT)
        bias = tl.load(biases + WIDTH + unit)[None, :]
        upper = _layer(over_high, over_low, upper_high, upper_low, upper_scale) + bias
        time = tl.load(times + position, mask=position < length, other=0.0)
        gradient = tl.zeros((TILE, WIDTH), tl.float32)
        for block in range(tl.cdiv(rows, BLOCK)):
            row = block * BLOCK + tl.arange(0, BLOCK)
            taps_high, taps_low, scale = _received(received, row, rows, position, length, time, deltas, shift)
            last_high, last_low = _last(last_weight, row, rows, WIDTH)
            gradient += _product(tl.trans(taps_high), tl.trans(taps_low), last_high, last_low) * scale
        high, low, scale = _scaled_parts(gradient * tl.load(scales + 3) * _cosine(upper))
        upper_total += _weight_gradient(high, low, scale, over_high, over_low)
        upper_bias += _bias_gradient(high, low, scale)
        gradient = _product(high, low, upper_high, upper_low) * (scale * upper_scale)
        high, low, scale = _scaled_parts(gradient * _cosine(lower))
        lower_total += _weight_gradient(high, low, scale, under_high, under_low)
        lower_bias += _bias_gradient(high, low, scale)
        gradient = _product(high, low, lower_high, lower_low) * (scale * lower_scale)
        high, low, scale = _scaled_parts(gradient * _cosine(first))
        first_total += _weight_gradient(high, low, scale, features_high, features_low)
    program = tl.program_id(0).to(tl.int64)
    square = unit[:, None] * WIDTH + unit[None, :]
    narrow = unit[:, None] * NARROWEST + column[None, :]
    tl.store(first_partial + program * (WIDTH * NARROWEST) + narrow, first_total)
    inner_partial += program * (2 * WIDTH * WIDTH)
    tl.store(inner_partial + square, lower_total)
    tl.store(inner_partial + WIDTH * WIDTH + square, upper_total)
    bias_partial += program * (2 * WIDTH * NARROWEST)
    tl.store(bias_partial + narrow, lower_bias)
    tl.store(bias_partial + WIDTH * NARROWEST + narrow, upper_bias)
