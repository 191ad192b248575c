"""What the kernels are launched with."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from hyena_ds.ops.long_convolution.dispatch import Kept
from hyena_ds.ops.long_convolution.triton.columns import columns_forward, columns_inverse
from hyena_ds.ops.long_convolution.triton.plan import CHUNK_ELEMENTS, LONGEST, SIDE, Factors, factors_of
from hyena_ds.ops.long_convolution.triton.rows import rows_filtered, rows_gradients, rows_transformed
from hyena_ds.ops.long_convolution.triton.short import (
    short_correlated,
    short_filtered,
    short_restored,
    short_spectra,
)
from hyena_ds.ops.long_convolution.triton.tables import Table, line_table, outer_tables, repeated_table, twisted_tables

# Programs that fill a GPU several times over.
PROGRAMS = 2048
# What was fastest on an H200 in `fast`; `exact` fills the shared memory by itself.
# Of columns, by the side and the halves: warps, stages and tiles of a program.
COLUMNS_FORWARD = {(64, 1): (4, 4, 8), (64, 2): (4, 3, 8), (128, 2): (4, 1, 1)}
COLUMNS_INVERSE = {(64, 1): (4, 3, 8), (64, 2): (4, 2, 4), (128, 2): (8, 1, 2)}
Tuned = dict[tuple[int, int], tuple[int, int, int | None]]
# Of rows, by the sides of a tile: warps, stages and the most registers, for the gradients too; warps in `exact`; and
# how many a program takes.
ROWS: Tuned = {(32, 32): (1, 3, None), (64, 32): (2, 3, None), (64, 64): (4, 1, 168)}
ROW_GRADIENTS: Tuned = {(32, 32): (2, 3, None), (64, 32): (4, 3, None), (64, 64): (4, 1, None)}
EXACT_ROW_WARPS = {(32, 32): 2, (64, 32): 4, (64, 64): 4}
ROW_SHARE = 8
SHORT_STAGES = 3


@dataclass(frozen=True)
class _Transform:
    """One cut of a length with the precision, and what follows from both."""

    factors: Factors
    exact: bool
    device: torch.device

    @property
    def dtype(self) -> torch.dtype:
        return torch.float32 if self.exact else torch.float16

    def outer_tables(self) -> tuple[Table, Table]:
        """Of the columns, forward and inverse."""
        return outer_tables(self.factors.outer, self.factors.halves, self.factors.side, self.dtype, self.device)

    def stages(self, fast: int) -> int:
        """How deep loops are pipelined."""
        return 1 if self.exact else fast

    def row_constants(self, tuned: Tuned) -> dict[str, Any]:
        """The constants of the kernels of rows, with what is best for their tile."""
        lines, width = self.factors.lines, self.factors.width
        warps, stages, registers = (EXACT_ROW_WARPS[lines, width], 1, None) if self.exact else tuned[lines, width]
        settings = {"num_warps": warps, "num_stages": stages, "maxnreg": registers}
        return {"LINES": lines, "WIDTH": width, "EXACT": self.exact, **settings}

    @property
    def step(self) -> float:
        """A quarter turn over N."""
        return math.pi / (2 * self.factors.points)


@dataclass
class _Planes:
    """Complex values [rows, outer, 2, inner], with their scales."""

    values: Tensor
    scales: Tensor


def _transform(signal: Tensor, exact: bool) -> _Transform:
    """Raises ValueError for a length that the kernels do not serve."""
    length = signal.shape[2:].numel()
    factors = factors_of(length)
    if exact and factors.side > SIDE:
        raise ValueError(f"backend 'exact' is for lengths up to {LONGEST // 2:,}, not {length:,}; take 'torch'")
    return _Transform(factors, exact, signal.device)


def triton_convolution(
    signal: Tensor, filter: Tensor, bias: Tensor, *, exact: bool, bidirectional: bool, keep: bool
) -> tuple[Tensor, Kept]:
    """As `right_angle_convolution`, outside autograd; `exact` computes as fp32 does.

    A signal in slices [B, D, S, T] is read where they lie; those of the output lie one after the other. With `keep`
    also what `triton_gradients` needs: the spectra of a long sequence and of its filter, or a short one itself. Raises
    ValueError for lengths below 16 or above 2^20, in `exact` above 2^19.
    """
    transform, shape, filter = _transform(signal, exact), signal.shape, filter.contiguous()
    direct = _direct(filter, bias, bidirectional)
    if transform.factors.outer == 1:
        signal = _with_contiguous_positions(signal.flatten(2))
        output = torch.empty(signal.shape, dtype=signal.dtype, device=signal.device)
        _short_filtered(transform, signal, filter, direct, output, bidirectional)
        return output.view(shape), Kept((signal, filter))
    signal = _in_slices(signal)
    output, kept = _empty_slices(signal), [direct]
    for channels in _chunks(signal, transform.factors):
        spectra = _spectra(transform, filter[channels])
        planes = _forward(transform, signal[:, channels])
        planes, own = _filtered(transform, planes, spectra, signal.shape[0], bidirectional, keep)
        _inverse(transform, planes, signal[:, channels], direct[channels], output[:, channels])
        if keep:
            kept += [own.values, own.scales, spectra.values, spectra.scales]
    return output.reshape(shape), Kept(tuple(kept), ends_with_filter=False)


def triton_gradients(
    received: Tensor, kept: Sequence[Tensor], bias: Tensor, *, exact: bool, bidirectional: bool
) -> tuple[Tensor, Tensor, Tensor]:
    """As `right_angle_gradients`: of signal, filter and bias, from the output's gradient `received`."""
    transform, shape = _transform(received, exact), received.shape
    filter_gradient = torch.empty(shape[1], shape[2:].numel(), dtype=torch.float32, device=received.device)
    if transform.factors.outer == 1:
        received, (signal, filter) = _with_contiguous_positions(received.flatten(2)), kept
        signal_gradient = torch.empty(received.shape, dtype=received.dtype, device=received.device)
        direct = _direct(filter, bias, bidirectional)
        _short_correlated(transform, signal, received, filter_gradient, bidirectional)
        _short_filtered(transform, received, filter.contiguous(), direct, signal_gradient, bidirectional, adjoint=True)
    else:
        received, (direct, *planes) = _in_slices(received), kept
        signal_gradient = _empty_slices(received)
        for number, channels in enumerate(_chunks(received, transform.factors)):
            values, scales, filter_values, filter_scales = planes[4 * number : 4 * number + 4]
            own, spectra = _Planes(values, scales), _Planes(filter_values, filter_scales)
            arrived = _forward(transform, received[:, channels])
            arrived, taps = _gradients(transform, arrived, own, spectra, received.shape[0], bidirectional)
            _inverse(transform, taps, None, None, filter_gradient[None, channels, None])
            del taps
            _inverse(transform, arrived, received[:, channels], direct[channels], signal_gradient[:, channels])
    bias_gradient = filter_gradient[:, 0].clone()  # tap 0 and the bias weigh the same values
    if bidirectional:
        bias_gradient /= 2  # tap 0 was counted both ways
        filter_gradient[:, 0] = bias_gradient
    return signal_gradient.reshape(shape), filter_gradient, bias_gradient


def _direct(filter: Tensor, bias: Tensor, bidirectional: bool) -> Tensor:
    """What weighs a value at its own position besides tap 0, once for each direction."""
    return bias - filter[:, 0] if bidirectional else bias


def _with_contiguous_positions(value: Tensor) -> Tensor:
    return value if value.stride(-1) == 1 else value.contiguous()


def _in_slices(value: Tensor) -> Tensor:
    """[B, D, S, T], where it lies if the kernels can read it there."""
    value = value if value.dim() == 4 and value.shape[3] >= SIDE else value.flatten(2).unsqueeze(2)
    return _with_contiguous_positions(value)


def _empty_slices(like: Tensor) -> Tensor:
    """Room for [B, D, S, T], the slices one after the other in memory."""
    batch, channels, slices, length = like.shape
    return torch.empty(slices, batch, channels, length, dtype=like.dtype, device=like.device).permute(1, 2, 0, 3)


def _chunks(signal: Tensor, factors: Factors) -> list[slice]:
    batch, channels = signal.shape[:2]
    width = max(1, CHUNK_ELEMENTS // (batch * factors.points))
    return [slice(first, min(first + width, channels)) for first in range(0, channels, width)]


def _alignment(*numbers: int) -> int:
    """The largest power of two up to 16 that divides all."""
    return math.gcd(16, *numbers)


def _forward(transform: _Transform, values: Tensor) -> _Planes:
    factors = transform.factors
    batch, channels, slices, slice_length = values.shape
    rows, tiles = batch * channels, factors.inner // SIDE
    planes = values.new_empty(rows, factors.outer, 2, factors.inner, dtype=transform.dtype)
    scales = values.new_empty(rows, tiles, dtype=torch.float32)
    forward, _ = transform.outer_tables()
    strides = values.stride()[:3]
    warps, stages, share = COLUMNS_FORWARD[factors.side, factors.halves]
    grid = (factors.halves * -(-tiles // share), -(-channels // factors.packed), batch)
    columns_forward[grid](
        values, planes, scales, *forward, *strides, slice_length, channels, slices * slice_length,
        factors.outer // factors.halves, factors.inner, share, transform.step,
        R=factors.side, HALVES=factors.halves, SLICED=slices > 1, ALIGN=_alignment(*strides, slice_length),
        EXACT=transform.exact, num_warps=warps, num_stages=transform.stages(stages),
    )  # fmt: skip
    return _Planes(planes, scales)


def _row_tables(transform: _Transform) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    factors = transform.factors
    left = line_table(factors.height, factors.lines, transform.dtype, transform.device)
    return *left, *line_table(factors.width, factors.width, transform.dtype, transform.device)


def _spectra(transform: _Transform, filter: Tensor) -> _Planes:
    """Of filters [D, L], as planes with a scale a row."""
    factors = transform.factors
    planes = _forward(transform, filter[None, :, None])
    scales = planes.scales.new_empty(filter.shape[0], factors.outer)
    rows = scales.numel()
    rows_transformed[(-(-rows // ROW_SHARE),)](
        planes.values, planes.scales, scales, *_row_tables(transform), rows, factors.outer, factors.height, ROW_SHARE,
        **transform.row_constants(ROWS),
    )  # fmt: skip
    return _Planes(planes.values, scales)


def _filtered(
    transform: _Transform, planes: _Planes, spectra: _Planes, batch: int, bidirectional: bool, keep: bool
) -> tuple[_Planes, _Planes]:
    """`planes` times the filters' spectra, in place, and with `keep` the spectra of `planes`."""
    factors = transform.factors
    scales = planes.scales.new_empty(planes.scales.shape[0], factors.outer)
    own = _Planes(torch.empty_like(planes.values), torch.empty_like(scales)) if keep else planes
    rows = scales.numel()
    rows_filtered[(-(-rows // ROW_SHARE),)](
        planes.values, planes.scales, spectra.values, spectra.scales, own.values, own.scales, scales,
        *_row_tables(transform), rows, batch, spectra.scales.numel(), factors.outer, factors.height, ROW_SHARE,
        KEEP=keep, BIDIRECTIONAL=bidirectional, **transform.row_constants(ROWS),
    )  # fmt: skip
    return _Planes(planes.values, scales), own


def _gradients(
    transform: _Transform, arrived: _Planes, own: _Planes, spectra: _Planes, batch: int, bidirectional: bool
) -> tuple[_Planes, _Planes]:
    """The signal's gradient, in place of `arrived`, and the filters' as planes [D, outer, 2, inner]."""
    factors = transform.factors
    scales, taps = torch.empty_like(own.scales), torch.empty_like(spectra.values)
    tap_scales = torch.empty_like(spectra.scales)
    rows_gradients[(spectra.scales.numel(),)](
        arrived.values, arrived.scales, own.values, own.scales, spectra.values, spectra.scales, taps, tap_scales,
        scales, *_row_tables(transform), batch, spectra.scales.numel(), factors.outer, factors.height,
        BIDIRECTIONAL=bidirectional, **transform.row_constants(ROW_GRADIENTS),
    )  # fmt: skip
    return _Planes(arrived.values, scales), _Planes(taps, tap_scales)


def _inverse(
    transform: _Transform, planes: _Planes, signal: Tensor | None, weight: Tensor | None, output: Tensor
) -> None:
    """Real values into `output` [B, D, S, T], plus `weight` [D] times `signal`."""
    factors = transform.factors
    batch, channels, slices, slice_length = output.shape
    _, inverse = transform.outer_tables()
    source = output if signal is None else signal
    strides = (*source.stride()[:3], *output.stride()[:3])
    tiles = factors.inner // SIDE
    warps, stages, share = COLUMNS_INVERSE[factors.side, factors.halves]
    columns_inverse[(-(-tiles // share), -(-channels // factors.packed), batch)](
        planes.values, planes.scales, source, source if weight is None else weight, output, *inverse, *strides,
        slice_length, channels, slices * slice_length, factors.outer // factors.halves, factors.inner, share,
        transform.step, factors.gain,
        R=factors.side, HALVES=factors.halves, DIRECT=weight is not None, SLICED=slices > 1,
        ALIGN=_alignment(*strides, slice_length),
        EXACT=transform.exact, num_warps=warps, num_stages=transform.stages(stages),
    )  # fmt: skip


def _short_shares(factors: Factors, batch: int, channels: int) -> tuple[int, int]:
    """Tiles that a program takes, and how many programs share a channel."""
    tiles = -(-batch // (SIDE // factors.width))
    share = -(-tiles // max(1, min(tiles, PROGRAMS // channels)))
    return share, -(-tiles // share)


def _short_filtered(
    transform: _Transform, signal: Tensor, filter: Tensor, weight: Tensor, output: Tensor, bidirectional: bool,
    adjoint: bool = False,
) -> None:  # fmt: skip
    factors = transform.factors
    batch, channels, length = signal.shape
    forward, back = twisted_tables(factors.height, transform.dtype, transform.device)
    right = repeated_table(factors.width, transform.dtype, transform.device)
    share, shares = _short_shares(factors, batch, channels)
    spectra = signal.new_empty(channels, 2, SIDE, SIDE, dtype=transform.dtype)
    scales = signal.new_empty(channels, dtype=torch.float32)
    short_spectra[(channels,)](
        filter, spectra, scales, *forward, *right, length, factors.height, transform.step,
        WIDTH=factors.width, ALIGN=_alignment(length),
        EXACT=transform.exact, num_warps=4, num_stages=transform.stages(SHORT_STAGES),
    )  # fmt: skip
    short_filtered[(channels, shares)](
        signal, spectra, scales, weight, output, *forward, *back, *right, *signal.stride()[:2], batch, channels, length,
        factors.height, transform.step, factors.gain, share,
        WIDTH=factors.width, ADJOINT=adjoint, BIDIRECTIONAL=bidirectional,
        ALIGN=_alignment(*signal.stride()[:2], length),
        EXACT=transform.exact, num_warps=4, num_stages=transform.stages(SHORT_STAGES),
    )  # fmt: skip


def _short_correlated(
    transform: _Transform, signal: Tensor, received: Tensor, gradient: Tensor, bidirectional: bool
) -> None:
    """The filters' gradient [D, L] into `gradient`."""
    factors = transform.factors
    batch, channels, length = signal.shape
    forward, back = twisted_tables(factors.height, transform.dtype, transform.device)
    right = repeated_table(factors.width, transform.dtype, transform.device)
    share, shares = _short_shares(factors, batch, channels)
    partial = gradient.new_empty(shares, channels, 2, SIDE, SIDE)
    strides = (*signal.stride()[:2], *received.stride()[:2])
    short_correlated[(channels, shares)](
        signal, received, partial, *forward, *right, *strides, batch, channels, length, factors.height,
        transform.step, share,
        WIDTH=factors.width, ALIGN=_alignment(*strides),
        EXACT=transform.exact, num_warps=4, num_stages=transform.stages(SHORT_STAGES),
    )  # fmt: skip
    samples = SIDE // factors.width
    spectra = partial.sum(dim=0).unflatten(-1, (samples, factors.width)).sum(dim=-2).repeat(1, 1, 1, samples)
    if bidirectional:
        spectra[:, 0] *= 2
        spectra[:, 1] = 0
    short_restored[(channels,)](
        spectra, gradient, *back, *right, length, factors.height, transform.step, factors.gain,
        WIDTH=factors.width, EXACT=transform.exact, num_warps=4,
    )  # fmt: skip
