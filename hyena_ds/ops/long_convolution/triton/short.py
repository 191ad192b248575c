"""Short sequences, N = A · B points, whole in one tile [A, samples · B]: one channel of 64 / B samples.

The right angle lies in the left table and in the turn between the two DFTs, so that the first and the last DFT are of
real values.
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
    times,
    transform_right,
)

SIDE = tl.constexpr(64)


@triton.jit
def _store(target, value):
    tl.store(target + tl.arange(0, SIDE)[:, None] * SIDE + tl.arange(0, SIDE)[None, :], value)


@triton.jit
def _turned(re, im, step, WIDTH: tl.constexpr):
    """Times exp(i step b (4 a - 1)): the factor between the DFTs and the right angle; step = -pi / 2N, or back."""
    line = tl.arange(0, SIDE)
    angle = ((line % WIDTH).to(tl.float32) * step)[None, :]
    return rotated(re, im, (4 * line - 1).to(tl.float32)[:, None], angle)


@triton.jit
def _spectrum(
    value, left_re, left_im, right_re, right_im, step,
    WIDTH: tl.constexpr, EXACT: tl.constexpr,
):  # fmt: skip
    """The spectrum of real values [A, samples · B] fp32, and its scale."""
    scale, inverse = power_below(largest_of(value))
    value = narrow(value * inverse, EXACT)
    zero = tl.zeros((SIDE, SIDE), tl.float32)
    re, im = product(left_re, value, zero, EXACT), product(left_im, value, zero, EXACT)
    re, im = _turned(re, im, -step, WIDTH)
    re, im = transform_right(narrow(re, EXACT), narrow(im, EXACT), right_re, right_im, False, EXACT)
    return re, im, scale


@triton.jit
def _values(
    re, im, left_re, left_im, right_re, right_im, step,
    WIDTH: tl.constexpr, EXACT: tl.constexpr,
):  # fmt: skip
    """The real values of a spectrum, `left` being the inverse's table."""
    scale, inverse = power_below(largest_of(tl.maximum(tl.abs(re), tl.abs(im))))
    re, im = narrow(re * inverse, EXACT), narrow(im * inverse, EXACT)
    re, im = transform_right(re, im, right_re, right_im, True, EXACT)
    re, im = _turned(re, im, step, WIDTH)
    zero = tl.zeros((SIDE, SIDE), tl.float32)
    re = product(left_re, narrow(re, EXACT), zero, EXACT)
    return product(left_im, -narrow(im, EXACT), re, EXACT) * scale


@triton.jit
def _place(length, height, WIDTH: tl.constexpr):
    """Position and validity of each element of a tile, and the sample that each of its columns holds."""
    line = tl.arange(0, SIDE)
    position = line[:, None] * WIDTH + (line % WIDTH)[None, :]
    return position, (line < height)[:, None] & (position < length), line // WIDTH


@triton.jit
def short_spectra(
    filters, spectra, scales, left_re, left_im, right_re, right_im, length, height, step,
    WIDTH: tl.constexpr, ALIGN: tl.constexpr, EXACT: tl.constexpr,
):  # fmt: skip
    """The spectra [D, 2, 64, 64] of filters [D, L], each once for every sample of a tile, with scales [D]."""
    channel = tl.program_id(0).to(tl.int64)
    position, inside, _ = _place(length, height, WIDTH)
    taps = tl.load(filters + channel * tl.multiple_of(length, ALIGN) + position, mask=inside, other=0.0)
    left_re, left_im = square(left_re, SIDE), square(left_im, SIDE)
    right_re, right_im = square(right_re, SIDE), square(right_im, SIDE)
    taps = taps.to(tl.float32)
    re, im, scale = _spectrum(taps, left_re, left_im, right_re, right_im, step, WIDTH, EXACT)
    _store(spectra + channel * (2 * SIDE * SIDE), narrow(re, EXACT))
    _store(spectra + channel * (2 * SIDE * SIDE) + SIDE * SIDE, narrow(im, EXACT))
    tl.store(scales + channel, scale)


@triton.jit
def short_filtered(
    values, spectra, scales, bias, output, left_re, left_im, back_re, back_im, right_re, right_im,
    batch_stride, channel_stride, batch, channels, length, height, step, gain, share,
    WIDTH: tl.constexpr, ADJOINT: tl.constexpr, BIDIRECTIONAL: tl.constexpr,
    ALIGN: tl.constexpr, EXACT: tl.constexpr,
):  # fmt: skip
    """Values [B, D, L] filtered by `spectra` or by their adjoint, plus bias times values, into `output` [B, D, L].

    A program takes `share` tiles of one channel.
    """
    channel = tl.program_id(0).to(tl.int64)
    batch_stride, length = tl.multiple_of(batch_stride, ALIGN), tl.multiple_of(length, ALIGN)
    values += channel * tl.multiple_of(channel_stride, ALIGN)
    spectra += channel * (2 * SIDE * SIDE)
    position, inside, sample = _place(length, height, WIDTH)
    left_re, left_im = square(left_re, SIDE), square(left_im, SIDE)
    back_re, back_im = square(back_re, SIDE), square(back_im, SIDE)
    right_re, right_im = square(right_re, SIDE), square(right_im, SIDE)
    gain *= tl.load(scales + channel)
    weight = tl.load(bias + channel).to(tl.float32)
    samples: tl.constexpr = SIDE // WIDTH
    first = tl.program_id(1) * share
    for group in range(first, tl.minimum(first + share, tl.cdiv(batch, samples))):
        row = (sample + group * samples).to(tl.int64)
        place = row[None, :] * batch_stride + position
        used = inside & (row < batch)[None, :]
        value = tl.load(values + place, mask=used, other=0.0).to(tl.float32)
        re, im, scale = _spectrum(value, left_re, left_im, right_re, right_im, step, WIDTH, EXACT)
        filter_re, filter_im = square(spectra, SIDE), square(spectra + SIDE * SIDE, SIDE)
        if BIDIRECTIONAL:
            re, im = 2 * re * filter_re, 2 * im * filter_re
        elif ADJOINT:
            re, im = times(re, im, filter_re, -filter_im)
        else:
            re, im = times(re, im, filter_re, filter_im)
        result = _values(re, im, back_re, back_im, right_re, right_im, step, WIDTH, EXACT) * (scale * gain)
        value = tl.load(values + place, mask=used, other=0.0).to(tl.float32)
        target = output + (row * channels + channel)[None, :] * length + position
        tl.store(target, (result + weight * value).to(output.dtype.element_ty), mask=used)


@triton.jit
def short_correlated(
    values, received, partial, left_re, left_im, right_re, right_im,
    batch_stride, channel_stride, received_batch_stride, received_channel_stride,
    batch, channels, length, height, step, share,
    WIDTH: tl.constexpr, ALIGN: tl.constexpr, EXACT: tl.constexpr,
):  # fmt: skip
    """Conjugate spectra of the signal times those of the output's gradient, summed over `share` tiles.

    One program's sum [2, 64, 64] of `partial` [shares, D, 2, 64, 64] fp32.
    """
    channel = tl.program_id(0).to(tl.int64)
    batch_stride, channel_stride = tl.multiple_of(batch_stride, ALIGN), tl.multiple_of(channel_stride, ALIGN)
    received_batch_stride = tl.multiple_of(received_batch_stride, ALIGN)
    received_channel_stride = tl.multiple_of(received_channel_stride, ALIGN)
    position, inside, sample = _place(length, height, WIDTH)
    left_re, left_im = square(left_re, SIDE), square(left_im, SIDE)
    right_re, right_im = square(right_re, SIDE), square(right_im, SIDE)
    total_re = tl.zeros((SIDE, SIDE), tl.float32)
    total_im = tl.zeros((SIDE, SIDE), tl.float32)
    samples: tl.constexpr = SIDE // WIDTH
    first = tl.program_id(1) * share
    for group in range(first, tl.minimum(first + share, tl.cdiv(batch, samples))):
        row = (sample + group * samples).to(tl.int64)
        used = inside & (row < batch)[None, :]
        place = channel * channel_stride + row[None, :] * batch_stride + position
        value = tl.load(values + place, mask=used, other=0.0).to(tl.float32)
        re, im, scale = _spectrum(value, left_re, left_im, right_re, right_im, step, WIDTH, EXACT)
        re, im = narrow(re, EXACT), narrow(im, EXACT)
        place = channel * received_channel_stride + row[None, :] * received_batch_stride + position
        value = tl.load(received + place, mask=used, other=0.0).to(tl.float32)
        other_re, other_im, other = _spectrum(value, left_re, left_im, right_re, right_im, step, WIDTH, EXACT)
        re, im = times(other_re, other_im, re.to(tl.float32), -im.to(tl.float32))
        total_re += re * (scale * other)
        total_im += im * (scale * other)
    target = partial + (tl.program_id(1).to(tl.int64) * channels + channel) * (2 * SIDE * SIDE)
    _store(target, total_re)
    _store(target + SIDE * SIDE, total_im)


@triton.jit
def short_restored(
    spectra, output, back_re, back_im, right_re, right_im, length, height, step, gain,
    WIDTH: tl.constexpr, EXACT: tl.constexpr,
):  # fmt: skip
    """Real values [D, L] from their spectra [D, 2, 64, 64] fp32, which repeat for every sample of a tile."""
    channel = tl.program_id(0).to(tl.int64)
    position, inside, sample = _place(length, height, WIDTH)
    spectra += channel * (2 * SIDE * SIDE)
    re, im = square(spectra, SIDE), square(spectra + SIDE * SIDE, SIDE)
    back_re, back_im = square(back_re, SIDE), square(back_im, SIDE)
    right_re, right_im = square(right_re, SIDE), square(right_im, SIDE)
    result = _values(re, im, back_re, back_im, right_re, right_im, step, WIDTH, EXACT) * gain
    tl.store(output + channel * length + position, result, mask=inside & (sample == 0)[None, :])
