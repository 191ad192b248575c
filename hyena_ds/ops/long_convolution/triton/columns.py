"""The outer transform of a long sequence: DFTs of R1 points over columns that lie N2 apart.

A sequence of N = R1 · N2 points is a matrix [R1, N2]. Forward, real columns become complex ones, twisted by the right
angle and turned by the factor that separates outer from inner transform; the inverse undoes it all and gives the
real part. R1 = HALVES · points: of two halves a butterfly makes one, so that a table of points² entries serves both.
A tile has R lines; where R1 is small, those of several channels of one sample.
"""

import triton
import triton.language as tl

from hyena_ds.ops.long_convolution.triton.arithmetic import (
    largest_of,
    narrow,
    power_below,
    product,
    rotated,
    square,
    transform_left,
)

# Columns of a tile, with one scale.
TILE_COLUMNS = tl.constexpr(64)
# cos and sin of pi / 4: the right angle at the second half.
HALF_TURN = tl.constexpr(0.7071067811865476)


@triton.jit
def _lines(channel, channels, points, R: tl.constexpr):
    """Of each line the channel after `channel`, its place among that channel's points, and whether it is one."""
    line = tl.arange(0, R)
    neighbour = line // points
    return neighbour, line % points, (neighbour < R // points) & (channel + neighbour < channels)


@triton.jit
def _slices(start, slice_length, slice_stride, ALIGN: tl.constexpr):
    """Of positions `start` [R] where the slice ends that holds them; and what leads from a position to its memory there
    and in the next slice."""
    number = start // slice_length
    shift = number.to(tl.int64) * (slice_stride - slice_length)
    end = tl.multiple_of((number + 1) * slice_length, ALIGN)
    return end[:, None], shift[:, None], (shift + (slice_stride - slice_length))[:, None]


@triton.jit
def _read(source, start, valid, length, slice_length, slice_stride, SLICED: tl.constexpr, ALIGN: tl.constexpr):
    """A tile, fp32, of values at 64 positions from each of `start` [R] on, which meet no more than two slices."""
    place = start[:, None] + tl.arange(0, TILE_COLUMNS)[None, :]
    inside = valid[:, None] & (place < length)
    if not SLICED:
        return tl.load(source + place, mask=inside, other=0.0).to(tl.float32)
    end, here, there = _slices(start, slice_length, slice_stride, ALIGN)
    first = tl.load(source + here + place, mask=inside & (place < end), other=0.0)
    second = tl.load(source + there + place, mask=inside & (place >= end), other=0.0)
    return first.to(tl.float32) + second.to(tl.float32)


@triton.jit
def columns_forward(
    values, planes, scales, table_re, table_im,
    batch_stride, channel_stride, slice_stride, slice_length, channels, length, points, inner, share, step,
    R: tl.constexpr, HALVES: tl.constexpr, SLICED: tl.constexpr, ALIGN: tl.constexpr, EXACT: tl.constexpr,
):  # fmt: skip
    """Real values [B, D, length] -> planes [B · D, R1, 2, N2] and scales [B · D, tiles]; step = pi / 2N.

    SLICED values are [B, D, S, slice_length], the slices anywhere in memory. A program takes `share` tiles of one half
    of the frequencies; the halves are neighbours, so that the second finds its values in the L2.
    """
    tiles = tl.cdiv(inner, TILE_COLUMNS)
    half, chunk = tl.program_id(0) % HALVES, tl.program_id(0) // HALVES
    sample, channel = tl.program_id(2).to(tl.int64), tl.program_id(1) * (R // points)
    batch_stride, channel_stride = tl.multiple_of(batch_stride, ALIGN), tl.multiple_of(channel_stride, ALIGN)
    neighbour, point, valid = _lines(channel, channels, points, R)
    outer = half + HALVES * point
    row = sample * channels + channel
    values += sample * batch_stride + channel.to(tl.int64) * channel_stride
    planes += row * (HALVES * points * 2) * inner
    scales += row * tiles
    source = values + (neighbour * channel_stride)[:, None]
    to_line = ((neighbour * (HALVES * points) + outer) * (2 * inner))[:, None]
    left_re, left_im = square(table_re + half * R * R, R), square(table_im + half * R * R, R)
    zero = tl.zeros((R, TILE_COLUMNS), tl.float32)
    for tile in range(chunk * share, tl.minimum(chunk * share + share, tiles)):
        column = tile * TILE_COLUMNS + tl.arange(0, TILE_COLUMNS)
        start = point * inner + tile * TILE_COLUMNS
        first = _read(source, start, valid, length, slice_length, slice_stride, SLICED, ALIGN)
        if HALVES == 1:
            scale, inverse = power_below(largest_of(first))
            first = narrow(first * inverse, EXACT)
            re, im = product(left_re, first, zero, EXACT), product(left_im, first, zero, EXACT)
        else:
            start += points * inner
            second = _read(source, start, valid, length, slice_length, slice_stride, SLICED, ALIGN)
            scale, inverse = power_below(largest_of(tl.maximum(tl.abs(first), tl.abs(second))))
            turned = (tl.where(half == 0, HALF_TURN, -HALF_TURN) * inverse) * second
            re, im = narrow(first * inverse + turned, EXACT), narrow(turned, EXACT)
            re, im = transform_left(left_re, left_im, re, im, False, EXACT)
        re, im = rotated(re, im, (1 - 4 * outer).to(tl.float32)[:, None], (column.to(tl.float32) * step)[None, :])
        tl.store(planes + to_line + column[None, :], narrow(re, EXACT), mask=valid[:, None])
        tl.store(planes + inner + to_line + column[None, :], narrow(im, EXACT), mask=valid[:, None])
        # Both halves found the same scale.
        tl.store(scales + neighbour * tiles + tile, scale, mask=valid & (point == 0))


@triton.jit
def columns_inverse(
    planes, scales, signal, bias, output, table_re, table_im,
    batch_stride, channel_stride, slice_stride, out_batch_stride, out_channel_stride, out_slice_stride, slice_length,
    channels, length, points, inner, share, step, gain,
    R: tl.constexpr, HALVES: tl.constexpr, DIRECT: tl.constexpr, SLICED: tl.constexpr, ALIGN: tl.constexpr,
    EXACT: tl.constexpr,
):  # fmt: skip
    """Planes [B · D, R1, 2, N2], scales [B · D, R1] -> gain · real values (+ bias · signal) [B, D, length].

    SLICED signal and values are [B, D, S, slice_length]. A program takes `share` tiles.
    """
    tiles = tl.cdiv(inner, TILE_COLUMNS)
    chunk = tl.program_id(0)
    sample, channel = tl.program_id(2).to(tl.int64), tl.program_id(1) * (R // points)
    batch_stride, channel_stride = tl.multiple_of(batch_stride, ALIGN), tl.multiple_of(channel_stride, ALIGN)
    out_batch_stride = tl.multiple_of(out_batch_stride, ALIGN)
    out_channel_stride = tl.multiple_of(out_channel_stride, ALIGN)
    neighbour, point, valid = _lines(channel, channels, points, R)
    row = sample * channels + channel
    planes += row * (HALVES * points * 2) * inner
    original = signal + sample * batch_stride + channel.to(tl.int64) * channel_stride
    original += (neighbour * channel_stride)[:, None]
    target = output + sample * out_batch_stride + channel.to(tl.int64) * out_channel_stride
    target += (neighbour * out_channel_stride)[:, None]
    from_line = (neighbour * (HALVES * points) + HALVES * point) * (2 * inner)
    own = scales + row * (HALVES * points) + neighbour * (HALVES * points) + HALVES * point
    scale = tl.load(own, mask=valid, other=0.0)
    if HALVES == 2:
        other = tl.load(own + 1, mask=valid, other=0.0)
        largest = tl.max(tl.maximum(scale, other))
    else:
        other = scale
        largest = tl.max(scale)
    scale, other, gain = scale * (1.0 / largest), other * (1.0 / largest), gain * largest
    left_re, left_im = square(table_re, R), square(table_im, R)
    if HALVES == 2:
        right_re, right_im = square(table_re + R * R, R), square(table_im + R * R, R)
    weight = tl.load(bias + channel + neighbour, mask=valid, other=0.0).to(tl.float32)[:, None] if DIRECT else 0.0
    zero = tl.zeros((R, TILE_COLUMNS), tl.float32)
    for tile in range(chunk * share, tl.minimum(chunk * share + share, tiles)):
        column = tile * TILE_COLUMNS + tl.arange(0, TILE_COLUMNS)
        angle = (column.to(tl.float32) * step)[None, :]
        source = planes + from_line[:, None] + column[None, :]
        re, im = _turned_back(source, scale, HALVES * point, angle, inner, valid, EXACT)
        start = point * inner + tile * TILE_COLUMNS
        if HALVES == 1:
            first = product(left_im, -im, product(left_re, re, zero, EXACT), EXACT)
        else:
            first, turned = transform_left(left_re, left_im, re, im, False, EXACT)
            second = HALF_TURN * (first + turned)
            re, im = _turned_back(source + 2 * inner, other, 2 * point + 1, angle, inner, valid, EXACT)
            re, im = transform_left(right_re, right_im, re, im, False, EXACT)
            first += re
            second = (second - HALF_TURN * (re + im)) * gain
            after = start + points * inner
            if DIRECT:
                second += weight * _read(original, after, valid, length, slice_length, slice_stride, SLICED, ALIGN)
            _write(target, after, valid, length, second, slice_length, out_slice_stride, SLICED, ALIGN)
        first *= gain
        if DIRECT:
            first += weight * _read(original, start, valid, length, slice_length, slice_stride, SLICED, ALIGN)
        _write(target, start, valid, length, first, slice_length, out_slice_stride, SLICED, ALIGN)


@triton.jit
def _turned_back(source, scale, outer, angle, inner, valid, EXACT: tl.constexpr):
    """Values of outer frequencies in the tile's scale, without the factor between the transforms."""
    re = tl.load(source, mask=valid[:, None], other=0.0).to(tl.float32) * scale[:, None]
    im = tl.load(source + inner, mask=valid[:, None], other=0.0).to(tl.float32) * scale[:, None]
    re, im = rotated(re, im, (4 * outer - 1).to(tl.float32)[:, None], angle)
    return narrow(re, EXACT), narrow(im, EXACT)


@triton.jit
def _write(target, start, valid, length, value, slice_length, slice_stride, SLICED: tl.constexpr, ALIGN: tl.constexpr):
    """As `_read`."""
    place = start[:, None] + tl.arange(0, TILE_COLUMNS)[None, :]
    inside = valid[:, None] & (place < length)
    value = value.to(target.dtype.element_ty)
    if SLICED:
        end, here, there = _slices(start, slice_length, slice_stride, ALIGN)
        tl.store(target + here + place, value, mask=inside & (place < end))
        tl.store(target + there + place, value, mask=inside & (place >= end))
    else:
        tl.store(target + place, value, mask=inside)
