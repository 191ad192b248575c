"""The implicit filter as one autograd function over Triton kernels; it saves its inputs alone."""

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from hyena_ds.ops.implicit_filter.kernels import (
    BLOCK,
    NARROWEST,
    TILE,
    filter_forward,
    last_weight_gradient,
    sine_layers_gradient,
    weight_parts,
)

# Programs that share a filter; each leaves its part of the gradients.
PROGRAMS = 1056
# A pipeline's buffers cost more than they hide.
STAGES = 1


def fused_implicit_filter(
    features: Tensor, times: Tensor, deltas: Tensor, shift: float,
    first: Tensor, inner: Tensor, biases: Tensor, frequency: Tensor, last: Tensor,
) -> Tensor:  # fmt: skip
    """Filters [R, L]: three layers of sin(f (W x + b)), a linear one, times the window exp(-t |delta|) + shift; fp32.

    Args:
        features: z [L, E], at most 15 a position.
        times: t [L].
        deltas: [R].
        shift: added to the window.
        first: weight [W, E] of the first layer; W is 16, 32 or 64.
        inner: weights [2, W, W] of the two layers after it.
        biases: [3, W].
        frequency: [W], of all sines.
        last: weight [R, W] of the linear layer.
    """
    filters: Tensor = _ImplicitFilter.apply(features, times, deltas, shift, first, inner, biases, frequency, last)
    return filters


class _ImplicitFilter(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, features: Tensor, times: Tensor, deltas: Tensor, shift: float, first: Tensor, inner: Tensor,
        biases: Tensor, frequency: Tensor, last: Tensor,
    ) -> Tensor:  # fmt: skip
        (length, count), (rows, width) = features.shape, last.shape
        scales = features.new_empty(4)
        with_bias = torch.cat([first, biases[0, :, None]], dim=1)
        weights = (
            _parts(with_bias[None], scales[:1], NARROWEST.value, frequency),
            _parts(inner, scales[1:3], width, frequency),
            _parts(last[None], scales[3:], width),
            biases[1:] * frequency,
            scales,
        )
        output = features.new_empty(rows, length)
        share, shares = _shares(length, PROGRAMS)
        filter_forward[(shares,)](
            features, times, deltas, *weights, output, length, rows, shift, share,
            COUNT=count, WIDTH=width, num_warps=4, num_stages=STAGES,
        )  # fmt: skip
        ctx.shift = shift
        ctx.save_for_backward(features, times, deltas, first, inner, biases, frequency, *weights)
        return output

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        received = gradients[0].contiguous()
        features, times, deltas, first, inner, biases, frequency, *weights = ctx.saved_tensors
        (length, count), rows, width = features.shape, received.shape[0], frequency.shape[0]
        first_parts, inner_parts, last_parts, folded_biases, scales = weights

        blocks = -(-rows // BLOCK.value)
        share, shares = _shares(length, -(-PROGRAMS // blocks))
        last_partial = features.new_empty(shares, rows, width)
        last_weight_gradient[(shares, blocks)](
            received, features, times, deltas, first_parts, inner_parts, folded_biases, scales, last_partial,
            length, rows, ctx.shift, share, COUNT=count, WIDTH=width, num_warps=4, num_stages=STAGES,
        )  # fmt: skip

        share, shares = _shares(length, PROGRAMS)
        first_partial = features.new_empty(shares, width, NARROWEST.value)
        inner_partial = features.new_empty(shares, 2, width, width)
        bias_partial = features.new_empty(shares, 2, width, NARROWEST.value)
        sine_layers_gradient[(shares,)](
            received, features, times, deltas, first_parts, inner_parts, last_parts, folded_biases, scales,
            first_partial, inner_partial, bias_partial, length, rows, ctx.shift, share,
            COUNT=count, WIDTH=width, num_warps=4, num_stages=STAGES,
        )  # fmt: skip

        # Of the weights and biases that the frequency is folded into.
        to_first, to_inner, to_biases = (partial.sum(dim=0) for partial in (first_partial, inner_partial, bias_partial))
        to_biases = torch.cat([to_first[None, :, count], to_biases[..., 0]])
        to_first = to_first[:, :count]
        to_frequency = (to_first * first).sum(dim=1) + (to_inner * inner).sum(dim=(0, 2)) + (to_biases * biases).sum(0)
        return (
            None, None, None, None, to_first * frequency[:, None], to_inner * frequency[:, None],
            to_biases * frequency, to_frequency, last_partial.sum(dim=0),
        )  # fmt: skip


def _parts(weights: Tensor, scales: Tensor, width: int, frequency: Tensor | None = None) -> Tensor:
    """Two fp16 parts [M, 2, N, width] of weights [M, N, K] times `frequency` [N]; their M scales go into `scales`."""
    weights = weights.contiguous()
    matrices, rows, columns = weights.shape
    parts = weights.new_empty(matrices, 2, rows, width, dtype=torch.float16)
    weight_parts[(matrices,)](
        weights, weights if frequency is None else frequency, parts, scales, rows, columns,
        COLUMNS=width, FOLD=frequency is not None,
    )  # fmt: skip
    return parts


def _shares(length: int, programs: int) -> tuple[int, int]:
    """Tiles that a program takes, and how many programs that makes."""
    tiles = -(-length // TILE.value)
    share = -(-tiles // programs)
    return share, -(-tiles // share)
