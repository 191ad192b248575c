"""The public function of a linear map and its GELU."""

import torch
from torch import Tensor
from torch.nn import functional

from hyena_ds.ops.fused import fused_kernels


def linear_gelu(hidden: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """gelu(hidden Wᵀ + b) by the tanh approximation: [..., D], weight [I, D] and bias [I] → [..., I]."""
    kernels = fused_kernels("linear_gelu", hidden, weight) if _products_are_fused_dtype(hidden) else None
    if kernels is not None:
        fused: Tensor = kernels.fused_bias_gelu(functional.linear(hidden, weight), bias)
        return fused
    return functional.gelu(functional.linear(hidden, weight, bias), approximate="tanh")


def _products_are_fused_dtype(hidden: Tensor) -> bool:
    kind = hidden.device.type
    return not torch.is_autocast_enabled(kind) or torch.get_autocast_dtype(kind) == torch.bfloat16
