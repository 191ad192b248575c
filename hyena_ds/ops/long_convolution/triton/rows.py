"""The inner transform of a long sequence, N2 = A · B points in one tile [A, B], and what is done to the spectra.

A row of planes [R1, 2, N2] is transformed by a DFT from the left, a turn and a DFT from the right; the frequencies
stay in the order that this gives, since products need none. Everything is done where the row stands.

Nothing overflows fp16, though products are not looked at: values of a tile are below 2, so those of a row and of its
spectrum have a norm of at most 4 sqrt(N), or 4,096 (tables are unitary but for factors up to sqrt(2)). The spectrum of
a filter is scaled to magnitudes below 3; with 2 for both directions and sqrt(2) of the tables back, 35,000 is the end.
"""

import triton
import triton.language as tl

from hyena_ds.ops.long_convolution.triton.arithmetic import (
    largest_of,
    narrow,
    power_below,
    rotated,
    square,
    times,
    transform_left,
    transform_right,
)
from hyena_ds.ops.long_convolution.triton.columns import TILE_COLUMNS

TURN = tl.constexpr(6.283185307179586)


@triton.jit
def _load(planes, row, height, LINES: tl.constexpr, WIDTH: tl.constexpr):
    """Real and imaginary part [LINES, B] of a row, zero below `height` lines."""
    line = tl.arange(0, LINES)
    source = planes + row * (2 * WIDTH * height) + line[:, None] * WIDTH + tl.arange(0, WIDTH)[None, :]
    inside = (line < height)[:, None]
    return tl.load(source, mask=inside, other=0.0), tl.load(source + WIDTH * height, mask=inside, other=0.0)


@triton.jit
def _store(re, im, planes, row, height, EXACT: tl.constexpr):
    width: tl.constexpr = re.shape[1]
    line = tl.arange(0, re.shape[0])
    target = planes + row * (2 * width * height) + line[:, None] * width + tl.arange(0, width)[None, :]
    inside = (line < height)[:, None]
    tl.store(target, narrow(re, EXACT), mask=inside)
    tl.store(target + width * height, narrow(im, EXACT), mask=inside)


@triton.jit
def _turned(re, im, turn):
    """Times exp(i turn a b)."""
    line, column = tl.arange(0, re.shape[0]).to(tl.float32), tl.arange(0, re.shape[1]).to(tl.float32)
    return rotated(re, im, (line * turn)[:, None], column[None, :])


@triton.jit
def _spectrum(planes, scales, row, sequence, height, left_re, left_im, right_re, right_im, EXACT: tl.constexpr):
    """The spectrum [LINES, B] of a row of `sequence` as columns_forward leaves it, and its scale."""
    lines: tl.constexpr = left_re.shape[0]
    width: tl.constexpr = right_re.shape[0]
    line = tl.arange(0, lines)
    tiles = height * width // TILE_COLUMNS
    scale = tl.load(scales + sequence * tiles + line * width // TILE_COLUMNS, mask=line < height, other=0.0)
    largest = tl.max(scale)
    factor = narrow(scale * (1.0 / largest), EXACT)[:, None]
    re, im = _load(planes, row, height, lines, width)
    re, im = transform_left(left_re, left_im, re * factor, im * factor, False, EXACT)
    re, im = _turned(re, im, -TURN / (width * height))
    re, im = transform_right(narrow(re, EXACT), narrow(im, EXACT), right_re, right_im, False, EXACT)
    return re, im, largest


@triton.jit
def _restored(re, im, height, left_re, left_im, right_re, right_im, EXACT: tl.constexpr):
    """The row whose spectrum is given."""
    width: tl.constexpr = right_re.shape[0]
    re, im = transform_right(narrow(re, EXACT), narrow(im, EXACT), right_re, right_im, True, EXACT)
    re, im = _turned(re, im, TURN / (width * height))
    return transform_left(left_re, left_im, narrow(re, EXACT), narrow(im, EXACT), True, EXACT)


@triton.jit
def rows_transformed(
    planes, scales, out_scales, left_re, left_im, right_re, right_im, rows, outers, height, share,
    LINES: tl.constexpr, WIDTH: tl.constexpr, EXACT: tl.constexpr,
):  # fmt: skip
    """Rows become their spectra, scaled for products; a program takes `share` of them."""
    left_re, left_im = square(left_re, LINES), square(left_im, LINES)
    right_re, right_im = square(right_re, WIDTH), square(right_im, WIDTH)
    first = tl.program_id(0) * share
    for number in range(first, tl.minimum(first + share, rows)):
        row = tl.cast(number, tl.int64)
        re, im, scale = _spectrum(
            planes, scales, row, row // outers, height, left_re, left_im, right_re, right_im, EXACT
        )
        own, inverse = power_below(largest_of(tl.maximum(tl.abs(re), tl.abs(im))))
        _store(re * inverse, im * inverse, planes, row, height, EXACT)
        tl.store(out_scales + row, scale * own)


@triton.jit
def rows_filtered(
    planes, scales, spectra, spectrum_scales, kept, kept_scales, out_scales, left_re, left_im, right_re, right_im,
    rows, batch, filter_rows, outers, height, share,
    KEEP: tl.constexpr, BIDIRECTIONAL: tl.constexpr, LINES: tl.constexpr, WIDTH: tl.constexpr, EXACT: tl.constexpr,
):  # fmt: skip
    """Rows [B · D · R1] are filtered by the rows of `spectra` [D · R1]; with KEEP, their own spectra go into `kept`.

    A program takes `share` of them, all samples of one filter's row before the next row.
    """
    left_re, left_im = square(left_re, LINES), square(left_im, LINES)
    right_re, right_im = square(right_re, WIDTH), square(right_im, WIDTH)
    first = tl.program_id(0) * share
    for number in range(first, tl.minimum(first + share, rows)):
        filter_row = tl.cast(number // batch, tl.int64)
        row = number % batch * filter_rows + filter_row
        re, im, scale = _spectrum(
            planes, scales, row, row // outers, height, left_re, left_im, right_re, right_im, EXACT
        )
        if KEEP:
            _store(re, im, kept, row, height, EXACT)
            tl.store(kept_scales + row, scale)
        filter_re, filter_im = _load(spectra, filter_row, height, LINES, WIDTH)
        if BIDIRECTIONAL:
            re, im = 2 * re * filter_re, 2 * im * filter_re
        else:
            re, im = times(re, im, filter_re, filter_im)
        re, im = _restored(re, im, height, left_re, left_im, right_re, right_im, EXACT)
        _store(re, im, planes, row, height, EXACT)
        tl.store(out_scales + row, scale * tl.load(spectrum_scales + filter_row))


@triton.jit
def rows_gradients(
    planes, scales, kept, kept_scales, spectra, spectrum_scales, taps, tap_scales, out_scales,
    left_re, left_im, right_re, right_im, batch, filter_rows, outers, height,
    BIDIRECTIONAL: tl.constexpr, LINES: tl.constexpr, WIDTH: tl.constexpr, EXACT: tl.constexpr,
):  # fmt: skip
    """Rows of the output's gradient become those of the signal's; `taps` [D · R1] those of the filters'.

    A program takes one row of all samples. The first is filtered by conjugate `spectra`, the second is the sum over
    samples of products with the conjugate spectra `kept` of the signal.
    """
    own_row = tl.program_id(0).to(tl.int64)
    left_re, left_im = square(left_re, LINES), square(left_im, LINES)
    right_re, right_im = square(right_re, WIDTH), square(right_im, WIDTH)
    total_re = tl.zeros((LINES, WIDTH), tl.float32)
    total_im = tl.zeros((LINES, WIDTH), tl.float32)
    filter_scale = tl.load(spectrum_scales + own_row)
    for sample in range(batch):
        row = own_row + sample * filter_rows
        re, im, scale = _spectrum(
            planes, scales, row, row // outers, height, left_re, left_im, right_re, right_im, EXACT
        )
        kept_re, kept_im = _load(kept, row, height, LINES, WIDTH)
        tap_re, tap_im = times(re, im, kept_re.to(tl.float32), -kept_im.to(tl.float32))
        weight = scale * tl.load(kept_scales + row)
        total_re += tap_re * weight
        total_im += tap_im * weight
        filter_re, filter_im = _load(spectra, own_row, height, LINES, WIDTH)
        if BIDIRECTIONAL:
            re, im = 2 * re * filter_re, 2 * im * filter_re
        else:
            re, im = times(re, im, filter_re.to(tl.float32), -filter_im.to(tl.float32))
        re, im = _restored(re, im, height, left_re, left_im, right_re, right_im, EXACT)
        _store(re, im, planes, row, height, EXACT)
        tl.store(out_scales + row, scale * filter_scale)
    if BIDIRECTIONAL:
        total_re, total_im = 2 * total_re, tl.zeros_like(total_im)
    own, inverse = power_below(largest_of(tl.maximum(tl.abs(total_re), tl.abs(total_im))))
    re, im = total_re * inverse, total_im * inverse
    re, im = _restored(re, im, height, left_re, left_im, right_re, right_im, EXACT)
    _store(re, im, taps, own_row, height, EXACT)
    tl.store(tap_scales + own_row, own)
