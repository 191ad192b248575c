"""The public function of a linear map."""

from torch import Tensor
from torch.nn import functional

from hyena_ds.ops.fused import fused_kernels


def linear(value: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """value Wᵀ + b: [..., D], weight [I, D] and bias [I] → [..., I]."""
    if kernels := fused_kernels("linear", value, weight):
        product: Tensor = kernels.with_bias_gradient(functional.linear(value, weight, bias.detach()), bias)
        return product
    return functional.linear(value, weight, bias)
