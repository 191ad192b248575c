"""Bias and GELU after a matrix product as an autograd function over Triton kernels; it keeps the product alone."""

from typing import Any

import torch
import triton
from torch import Tensor
from torch.autograd.function import once_differentiable

from hyena_ds.ops.linear_gelu.kernels import gelu_backward, gelu_forward

ROWS, COLUMNS, WARPS = 16, 256, 4
# Programs of a backward pass; each leaves its part of the bias' gradient.
PROGRAMS = 4096


def fused_bias_gelu(product: Tensor, bias: Tensor) -> Tensor:
    """gelu(product + bias) [..., I], the dtype of `product`."""
    output: Tensor = _BiasGelu.apply(product, bias)
    return output


class _BiasGelu(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, product: Tensor, bias: Tensor) -> Tensor:
        product = product.contiguous()
        width = product.shape[-1]
        rows = product.numel() // width
        output = torch.empty_like(product)
        gelu_forward[triton.cdiv(rows, ROWS), triton.cdiv(width, COLUMNS)](
            product, bias, output, rows, width, ROWS=ROWS, COLUMNS=COLUMNS, num_warps=WARPS
        )
        ctx.save_for_backward(product, bias)
        return output

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor]:
        product, bias = ctx.saved_tensors
        received = gradients[0].contiguous()
        width = product.shape[-1]
        rows = product.numel() // width
        gradient = torch.empty_like(product)
        tiles, blocks = triton.cdiv(rows, ROWS), triton.cdiv(width, COLUMNS)
        share = max(1, tiles * blocks // PROGRAMS)
        programs = triton.cdiv(tiles, share)
        partial = torch.empty(programs, width, dtype=torch.float32, device=product.device)
        gelu_backward[programs, blocks](
            received, product, bias, gradient, partial, rows, width, share,
            ROWS=ROWS, COLUMNS=COLUMNS, WARPS=WARPS, num_warps=WARPS,
        )  # fmt: skip
        return gradient, partial.sum(0).to(bias.dtype)
