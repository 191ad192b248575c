"""DFT tables: almost unitary, computed in float64, padded with zeros to the sides of the tiles that they multiply.

All are kept: a few hundred, of at most 128 KiB.
"""

from functools import cache

import torch
from torch import Tensor

from hyena_ds.ops.long_convolution.triton.plan import SIDE, table_scale

Table = tuple[Tensor, Tensor]


def _parts(matrix: Tensor, dtype: torch.dtype, device: torch.device) -> Table:
    return matrix.real.to(device, dtype).contiguous(), matrix.imag.to(device, dtype).contiguous()


def _dft(points: int) -> Tensor:
    """exp(-2 pi i j k / n), not scaled."""
    line = torch.arange(points, dtype=torch.float64)
    turn = -2 * torch.pi / points * (line[:, None] * line[None, :] % points)
    return torch.polar(torch.ones_like(turn), turn)


def _padded(matrix: Tensor, side: int) -> Tensor:
    whole = torch.zeros(*matrix.shape[:-2], side, side, dtype=matrix.dtype)
    whole[..., : matrix.shape[-2], : matrix.shape[-1]] = matrix
    return whole


@cache
def line_table(points: int, side: int, dtype: torch.dtype, device: torch.device) -> Table:
    """The DFT of `points` [side, side]."""
    return _parts(_padded(table_scale(points) * _dft(points), side), dtype, device)


@cache
def twisted_tables(points: int, dtype: torch.dtype, device: torch.device) -> tuple[Table, Table]:
    """The DFT of `points` after the right angle's exp(i pi a / 2A), and its inverse: [64, 64] each."""
    line = torch.arange(points, dtype=torch.float64)
    twist = torch.polar(torch.full_like(line, table_scale(points)), line * (torch.pi / (2 * points)))
    forward = _padded(_dft(points) * twist, SIDE)
    return _parts(forward, dtype, device), _parts(forward.mH, dtype, device)


@cache
def repeated_table(width: int, dtype: torch.dtype, device: torch.device) -> Table:
    """The DFT of `width` points for each of the samples that lie side by side: block-diagonal [64, 64]."""
    return _parts(torch.block_diag(*[table_scale(width) * _dft(width)] * (SIDE // width)), dtype, device)


@cache
def outer_tables(outer: int, halves: int, side: int, dtype: torch.dtype, device: torch.device) -> tuple[Table, Table]:
    """The twisted outer DFT, a table for each residue of the frequency, and its inverse: [halves, R, R], R the `side`.

    Block-diagonal where several sequences make a tile.
    """
    points = outer // halves
    line = torch.arange(points, dtype=torch.float64)
    forward = torch.zeros(halves, side, side, dtype=torch.complex128)
    for residue in range(halves):
        turn = line * ((1 - 4 * residue) * torch.pi / (2 * outer))
        table = _dft(points) * torch.polar(torch.full_like(turn, table_scale(outer)), turn)
        forward[residue] = _padded(torch.block_diag(*[table] * (side // points)), side)
    return _parts(forward, dtype, device), _parts(forward.mH, dtype, device)
