"""The public functions of the residual stream and its layer norm."""

import torch
from torch import Tensor
from torch.nn import functional

from hyena_ds.ops.fused import fused_kernels

WIDEST_FUSED_NORM = 2048


def add_residual(hidden: Tensor, residual: Tensor | None) -> Tensor:
    """The residual stream with `hidden` added, kept in fp32 or wider."""
    wide = torch.promote_types(hidden.dtype, torch.float32)
    return hidden.to(wide) if residual is None else residual + hidden


def residual_norm(residual: Tensor, weight: Tensor, bias: Tensor, epsilon: float, *, wide: bool = False) -> Tensor:
    """Layer norm over the last dimension of [B, L, D], in the dtype of the weights.

    Where it is fused and autocast is on, it comes in the dtype that autocast gives to matrix products; `wide` keeps the
    dtype of the weights.
    """
    if _norm_has_fused_shape(residual, weight) and (kernels := fused_kernels("residual_norm", residual, weight)):
        fused: Tensor = kernels.fused_norm(residual, weight, bias, epsilon, _norm_dtype(weight, wide))
        return fused
    return functional.layer_norm(residual.to(weight.dtype), weight.shape, weight, bias, epsilon)


def added_norm(
    hidden: Tensor, residual: Tensor | None, weight: Tensor, bias: Tensor, epsilon: float, *, wide: bool = False
) -> tuple[Tensor, Tensor]:
    """The residual stream with `hidden` added, as `add_residual`, and its layer norm, as `residual_norm`."""
    if residual is not None and _norm_has_fused_shape(residual, weight):
        kernels = fused_kernels("residual_norm", hidden, residual, weight)
        if kernels is not None:
            total, normalised = kernels.fused_added_norm(
                hidden, residual, weight, bias, epsilon, _norm_dtype(weight, wide)
            )
            return total, normalised
    total = add_residual(hidden, residual)
    return total, residual_norm(total, weight, bias, epsilon, wide=wide)


def _norm_has_fused_shape(residual: Tensor, weight: Tensor) -> bool:
    return residual.dim() == 3 and residual.dtype == torch.float32 and weight.shape[0] <= WIDEST_FUSED_NORM


def _norm_dtype(weight: Tensor, wide: bool) -> torch.dtype:
    kind = weight.device.type
    return weight.dtype if wide or not torch.is_autocast_enabled(kind) else torch.get_autocast_dtype(kind)
