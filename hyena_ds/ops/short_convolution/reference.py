"""The short convolution in plain torch."""

from torch import Tensor
from torch.nn import functional


def short_convolution(
    projected: Tensor, weight: Tensor, bias: Tensor, context: int, keep: Tensor | None = None
) -> Tensor:
    """Causal filters along the positions of `projected` [B, context + L, C] → [B, C, L], after the context.

    Filters [C, 1, W] and biases [C]; before the context stand zeros, and so they do where `keep` [B, context + L] is 0.
    """
    channels_first = projected.transpose(1, 2)  # [B, C, context + L]
    if keep is not None:
        channels_first = channels_first * keep[:, None, :].to(channels_first.dtype)
    reach = weight.shape[2] - 1
    filtered = functional.conv1d(channels_first, weight, bias, padding=reach, groups=weight.shape[0])
    return filtered[..., context : filtered.shape[-1] - reach]
