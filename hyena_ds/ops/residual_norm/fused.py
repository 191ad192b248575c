"""The residual stream and its layer norm as an autograd function over Triton kernels; it keeps the stream alone."""

from typing import Any

import torch
import triton
from torch import Tensor
from torch.autograd.function import once_differentiable

from hyena_ds.ops.residual_norm.kernels import norm_backward, norm_forward

WARPS = 4
TILE_ELEMENTS = 4096
# Programs of a backward pass; each leaves its part of the weights' gradients.
PROGRAMS = 2048


def fused_norm(residual: Tensor, weight: Tensor, bias: Tensor, epsilon: float, dtype: torch.dtype) -> Tensor:
    """The layer norm in `dtype`."""
    normalised: Tensor = _ResidualNorm.apply(None, residual, weight, bias, epsilon, dtype)
    return normalised


def fused_added_norm(
    hidden: Tensor, residual: Tensor, weight: Tensor, bias: Tensor, epsilon: float, dtype: torch.dtype
) -> tuple[Tensor, Tensor]:
    """The stream with `hidden` added, and its layer norm in `dtype`."""
    normalised, total = _ResidualNorm.apply(hidden, residual, weight, bias, epsilon, dtype)
    return total, normalised


def _with_contiguous_columns(value: Tensor) -> Tensor:
    return value if value.stride(2) == 1 else value.contiguous()


def _tile(width: int) -> tuple[int, int]:
    """Rows and columns of a tile."""
    block = triton.next_power_of_2(width)
    return max(WARPS, TILE_ELEMENTS // block), block


class _ResidualNorm(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, hidden: Tensor | None, residual: Tensor, weight: Tensor, bias: Tensor, epsilon: float,
        dtype: torch.dtype,
    ) -> Any:  # fmt: skip
        residual = _with_contiguous_columns(residual)
        added = residual if hidden is None else _with_contiguous_columns(hidden)
        batch, length, width = residual.shape
        total = residual if hidden is None else residual.new_empty(residual.shape)
        normalised = residual.new_empty(residual.shape, dtype=dtype)
        mean, scale = (residual.new_empty(batch, length, dtype=torch.float32) for _ in range(2))
        rows, block = _tile(width)
        norm_forward[triton.cdiv(length, rows), batch](
            added, residual, weight, bias, total, normalised, mean, scale, *added.stride()[:2],
            *residual.stride()[:2], length, width, epsilon,
            ADD=hidden is not None, ROWS=rows, BLOCK=block, num_warps=WARPS,
        )  # fmt: skip
        ctx.save_for_backward(total, weight, mean, scale)
        ctx.hidden_dtype = None if hidden is None else hidden.dtype
        ctx.bias_dtype = bias.dtype
        ctx.set_materialize_grads(False)
        return normalised if hidden is None else (normalised, total)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor | None) -> tuple[Tensor | None, ...]:
        total, weight, mean, scale = ctx.saved_tensors
        received, received_total = gradients[0], gradients[1] if len(gradients) > 1 else None
        if received is None:
            narrow = received_total if ctx.hidden_dtype is None else received_total.to(ctx.hidden_dtype)  # type: ignore[union-attr]
            return narrow, received_total, None, None, None, None
        received = _with_contiguous_columns(received)
        also = total if received_total is None else _with_contiguous_columns(received_total)
        batch, length, width = total.shape
        residual_gradient = torch.empty(total.shape, dtype=total.dtype, device=total.device)
        converted = ctx.hidden_dtype not in (None, total.dtype)
        hidden_gradient = residual_gradient
        if converted:
            hidden_gradient = torch.empty(total.shape, dtype=ctx.hidden_dtype, device=total.device)
        rows, block = _tile(width)
        tiles = triton.cdiv(length, rows)
        share = max(1, tiles * batch // PROGRAMS)
        grid = (triton.cdiv(tiles, share), batch)
        partial = torch.empty(grid[0] * batch, 2, width, dtype=torch.float32, device=total.device)
        norm_backward[grid](
            received, also, total, weight, mean, scale, residual_gradient, hidden_gradient, partial,
            *received.stride()[:2], *also.stride()[:2], *total.stride()[:2], length, width, share,
            TOTAL=received_total is not None, HIDDEN=converted, ROWS=rows, BLOCK=block, WARPS=WARPS, num_warps=WARPS,
        )  # fmt: skip
        weight_gradient, bias_gradient = partial.sum(0)
        return (
            None if ctx.hidden_dtype is None else hidden_gradient,
            residual_gradient,
            weight_gradient.to(weight.dtype),
            bias_gradient.to(ctx.bias_dtype),
            None,
            None,
        )
