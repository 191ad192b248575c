"""The implicit filter as one autograd function over the kernels; it saves its inputs alone."""

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from hyena_ds.ops.implicit_filter.kernels import (
    BACKWARD_TILE,
    BLOCK,
    FORWARD_TILE,
    filter_forward,
    last_weight_gradient,
    sine_layers_gradient,
)

# Programs whose sums are added at the end.
PROGRAMS = 528


class _ImplicitFilter(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, shift: float, features: Tensor, times: Tensor, deltas: Tensor, *weights: Tensor) -> Tensor:
        first_weight, first_bias, inner, biases, frequency, last = (weight.contiguous() for weight in weights)
        (length, count), rows = features.shape, last.shape[0]
        output = features.new_empty(rows, length)
        filter_forward[(-(-length // FORWARD_TILE.value),)](
            features, times, first_weight, first_bias, inner, biases, frequency, last, deltas, output,
            length, rows, shift, FEATURES=count, WIDTH=last.shape[1], num_warps=4,
        )  # fmt: skip
        ctx.shift = shift
        ctx.save_for_backward(features, times, deltas, first_weight, first_bias, inner, biases, frequency, last)
        return output

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        received = gradients[0].contiguous()
        features, times, deltas, first_weight, first_bias, inner, biases, frequency, last = ctx.saved_tensors
        (length, count), (rows, width) = features.shape, last.shape
        shared = (features, times, first_weight, first_bias, inner, biases, frequency)

        blocks = -(-rows // BLOCK.value)
        share, shares = _shares(length, FORWARD_TILE.value, -(-PROGRAMS // blocks))
        last_partial = features.new_empty(shares, rows, width)
        last_weight_gradient[(shares, blocks)](
            received, *shared, deltas, last_partial, length, rows, ctx.shift, share,
            FEATURES=count, WIDTH=width, num_warps=4,
        )  # fmt: skip

        share, shares = _shares(length, BACKWARD_TILE.value, PROGRAMS)
        first_partial = features.new_zeros(shares, count, width)
        inner_partial = features.new_empty(shares, 2, width, width)
        unit_partial = features.new_empty(shares, 4, width)
        sine_layers_gradient[(shares,)](
            received, *shared, last, deltas, first_partial, inner_partial, unit_partial, length, rows, ctx.shift, share,
            FEATURES=count, WIDTH=width, num_warps=4,
        )  # fmt: skip
        frequency_gradient, first_bias_gradient, *bias_gradients = unit_partial.sum(dim=0)
        first_gradient = first_partial.sum(dim=0).T
        inner_gradient = inner_partial.sum(dim=0)
        return (
            None, None, None, None, first_gradient, first_bias_gradient, inner_gradient,
            torch.stack(bias_gradients), frequency_gradient, last_partial.sum(dim=0),
        )  # fmt: skip


def _shares(length: int, tile: int, programs: int) -> tuple[int, int]:
    """Tiles that a program takes, and how many programs that makes."""
    tiles = -(-length // tile)
    share = -(-tiles // programs)
    return share, -(-tiles // share)


def implicit_filter(
    features: Tensor,
    times: Tensor,
    deltas: Tensor,
    shift: float,
    *,
    first: tuple[Tensor, Tensor],
    inner: tuple[Tensor, Tensor],
    frequency: Tensor,
    last_weight: Tensor,
) -> Tensor:
    """Filters [R, L] fp32 of a network of three sine layers, times the window exp(-t |delta|) + shift.

    Args:
        features: z [L, E] fp32.
        times: t [L] fp32.
        deltas: [R] fp32.
        shift: added to the window.
        first: weight [W, E] and bias [W] of the first layer; W is 16, 32 or 64.
        inner: weights [2, W, W] and biases [2, W] of the two layers after it.
        frequency: [W], of all sines.
        last_weight: [R, W].
    """
    filters: Tensor = _ImplicitFilter.apply(shift, features, times, deltas, *first, *inner, frequency, last_weight)
    return filters
