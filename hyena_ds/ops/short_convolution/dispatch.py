"""The public functions of the short convolution with its gates."""

from torch import Tensor

from hyena_ds.ops.fused import fused_kernels
from hyena_ds.ops.short_convolution.reference import short_convolution
from hyena_ds.ops.short_convolution.room import GradientRoom

LONGEST_FUSED_FILTER = 8


def short_convolution_gate(
    projected: Tensor,
    weight: Tensor,
    bias: Tensor,
    context: int = 0,
    room: GradientRoom | None = None,
) -> Tensor:
    """The product of the two halves of `projected` after the short convolution: what enters a long convolution.

    Args:
        projected: [B, context + L, 2 D], gate and value; `context` positions stand before those of the output.
        weight: [2 D, 1, W] of the causal filters.
        bias: [2 D].
        room: of what `projected` is a part of.

    Returns:
        [B, D, L], the dtype of `projected` (under autocast that of the convolution).
    """
    if _filter_has_fused_shape(weight) and (kernels := fused_kernels("short_convolution", projected)):
        fused: Tensor = kernels.fused_gate(projected, weight, bias, context, room)
        return fused
    gate, value = short_convolution(projected, weight, bias, context).chunk(2, dim=1)
    return value * gate


def short_convolution_finish(
    projected: Tensor,
    weight: Tensor,
    bias: Tensor,
    value: Tensor,
    context: int = 0,
    room: GradientRoom | None = None,
) -> Tensor:
    """`value` [B, D, L] times `projected` [B, context + L, D] after the short convolution → [B, L, D].

    What leaves the last long convolution through the last gate; the other arguments are those of
    `short_convolution_gate` for D channels.
    """
    if _filter_has_fused_shape(weight) and (kernels := fused_kernels("short_convolution", projected, value)):
        fused: Tensor = kernels.fused_finish(projected, weight, bias, value, context, room)
        return fused
    return (value * short_convolution(projected, weight, bias, context)).transpose(1, 2)


def _filter_has_fused_shape(weight: Tensor) -> bool:
    return weight.shape[2] <= LONGEST_FUSED_FILTER
