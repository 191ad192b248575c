"""The gradient of a linear map's bias by a Triton kernel, which reads that of the product once."""

from typing import Any

import torch
import triton
from torch import Tensor
from torch.autograd.function import once_differentiable

from hyena_ds.ops.linear.kernels import sum_columns

ROWS, COLUMNS, WARPS = 8, 256, 4
# Each leaves its part of the sums.
PROGRAMS = 2048


def with_bias_gradient(product: Tensor, bias: Tensor) -> Tensor:
    """`product` [..., I], to which `bias` [I] was added outside autograd."""
    same: Tensor = _BiasGradient.apply(product, bias)
    return same


def column_sums(value: Tensor) -> Tensor:
    """The sums of [..., I] over all but the last dimension, in fp32."""
    value = value.contiguous()
    width = value.shape[-1]
    rows = value.numel() // width
    tiles, blocks = triton.cdiv(rows, ROWS), triton.cdiv(width, COLUMNS)
    share = max(1, tiles * blocks // PROGRAMS)
    programs = triton.cdiv(tiles, share)
    partial = torch.empty(programs, width, dtype=torch.float32, device=value.device)
    sum_columns[programs, blocks](value, partial, rows, width, share, ROWS=ROWS, COLUMNS=COLUMNS, num_warps=WARPS)
    return partial.sum(0)


class _BiasGradient(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, product: Tensor, bias: Tensor) -> Tensor:
        ctx.bias_dtype = bias.dtype
        return product

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor]:
        (received,) = gradients
        return received, column_sums(received).to(ctx.bias_dtype)
