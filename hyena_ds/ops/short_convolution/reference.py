"""The short convolution in plain torch."""

from torch import Tensor
from torch.nn import functional


def short_convolution(projected: Tensor, weight: Tensor, bias: Tensor, context: int) -> Tensor:
    """Causal filters along the positions of `projected` [B, context + L, C] → [B, C, L], after the context.

    Filters [C, 1, W] and biases [C]; before the context stand zeros.
    """
    channels_first = projected.transpose(1, 2)  # [B, C, context + L]
    reach = weight.shape[2] - 1
    filtered = functional.conv1d(channels_first, weight, bias, padding=reach, groups=weight.shape[0])
    return filtered[..., context : filtered.shape[-1] - reach]
