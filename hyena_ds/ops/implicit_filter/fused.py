"""The implicit filter as one autograd function over Triton kernels; it saves its inputs alone."""

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn.functional import pad

from hyena_ds.ops.implicit_filter.kernels import (
    BLOCK,
    NARROWEST,
    TILE,
    filter_forward,
    last_weight_gradient,
    sine_layers_gradient,
)

# Programs that share a filter; each leaves its part of the gradients.
PROGRAMS = 1056
# A pipeline's buffers cost more than they hide.
STAGES = 1
# Two to this power is the largest weight's magnitude in its scaled parts.
HEADROOM = 4
LEAST_EXPONENT = -100


def fused_implicit_filter(
    features: Tensor, times: Tensor, deltas: Tensor, shift: float,
    first: Tensor, inner: Tensor, biases: Tensor, last: Tensor,
) -> Tensor:  # fmt: skip
    """Filters [R, L]: three layers of sin(W x + b), a linear one, times the window exp(-t |delta|) + shift; all fp32.

    Args:
        features: z [L, E], at most 15 a position.
        times: t [L].
        deltas: [R].
        shift: added to the window.
        first: weight [W, E] of the first layer; W is 16, 32 or 64.
        inner: weights [2, W, W] of the two layers after it.
        biases: [3, W].
        last: weight [R, W] of the linear layer.
    """
    filters: Tensor = _ImplicitFilter.apply(features, times, deltas, shift, first, inner, biases, last)
    return filters


def _parts(weight: Tensor) -> tuple[Tensor, Tensor]:
    """Two fp16 parts [..., 2, N, K] of weights [..., N, K], and what they are to be multiplied by."""
    largest = weight.abs().amax(dim=(-2, -1), keepdim=True)
    exponent = torch.frexp(largest).exponent.clamp(min=LEAST_EXPONENT) - HEADROOM
    scaled = torch.ldexp(weight, -exponent)
    high = scaled.half()
    parts = torch.stack([high, (scaled - high.float()).half()], dim=-3)
    return parts, torch.ldexp(torch.ones_like(largest), exponent).flatten()


class _ImplicitFilter(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, features: Tensor, times: Tensor, deltas: Tensor, shift: float, first: Tensor, inner: Tensor,
        biases: Tensor, last: Tensor,
    ) -> Tensor:  # fmt: skip
        (length, count), (rows, width) = features.shape, last.shape
        with_bias = pad(torch.cat([first, biases[0, :, None]], dim=1), (0, NARROWEST.value - count - 1))
        parts, scales = zip(*map(_parts, (with_bias, inner, last)), strict=True)
        weights = (*parts, biases[1:].contiguous(), torch.cat(scales))
        output = features.new_empty(rows, length)
        share, shares = _shares(length, PROGRAMS)
        filter_forward[(shares,)](
            features, times, deltas, *weights, output, length, rows, shift, share,
            COUNT=count, WIDTH=width, num_warps=4, num_stages=STAGES,
        )  # fmt: skip
        ctx.shift = shift
        ctx.save_for_backward(features, times, deltas, *weights)
        return output

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        received = gradients[0].contiguous()
        features, times, deltas, first, inner, last, biases, scales = ctx.saved_tensors
        (length, count), (_, rows, width) = features.shape, last.shape

        blocks = -(-rows // BLOCK.value)
        share, shares = _shares(length, -(-PROGRAMS // blocks))
        last_partial = features.new_empty(shares, rows, width)
        last_weight_gradient[(shares, blocks)](
            received, features, times, deltas, first, inner, biases, scales, last_partial,
            length, rows, ctx.shift, share, COUNT=count, WIDTH=width, num_warps=4, num_stages=STAGES,
        )  # fmt: skip

        share, shares = _shares(length, PROGRAMS)
        first_partial = features.new_empty(shares, width, NARROWEST.value)
        inner_partial = features.new_empty(shares, 2, width, width)
        bias_partial = features.new_empty(shares, 2, width, NARROWEST.value)
        sine_layers_gradient[(shares,)](
            received, features, times, deltas, first, inner, last, biases, scales,
            first_partial, inner_partial, bias_partial, length, rows, ctx.shift, share,
            COUNT=count, WIDTH=width, num_warps=4, num_stages=STAGES,
        )  # fmt: skip
        first_gradient, inner_gradient, bias_gradient, last_gradient = (
            partial.sum(dim=0) for partial in (first_partial, inner_partial, bias_partial, last_partial)
        )
        first_gradient, first_bias = first_gradient[:, :count], first_gradient[:, count]
        bias_gradient = torch.stack([first_bias, *bias_gradient[..., 0]])
        return None, None, None, None, first_gradient, inner_gradient, bias_gradient, last_gradient


def _shares(length: int, programs: int) -> tuple[int, int]:
    """Tiles that a program takes, and how many programs that makes."""
    tiles = -(-length // TILE.value)
    share = -(-tiles // programs)
    return share, -(-tiles // share)
