"""The long convolution by its definition: O(L²) time and memory, any float dtype, plain autograd."""

import torch
from torch import Tensor


def direct_convolution(signal: Tensor, filter: Tensor, bias: Tensor, *, bidirectional: bool = False) -> Tensor:
    """Sum over taps, written as a Toeplitz matrix product.

    Args:
        signal: [B, D, L] float.
        filter: [D, L] float, one filter a channel.
        bias: [D] float, the weight of the signal itself.
        bidirectional: add the adjoint, so that tap j reaches j positions both ways and tap 0 counts once.

    Returns:
        [B, D, L], the dtype of `signal`.
    """
    length = signal.shape[-1]
    distance = torch.arange(length, device=signal.device)
    distance = distance[:, None] - distance[None, :]
    matrix = filter[:, distance.abs()]
    if not bidirectional:
        matrix = matrix * (distance >= 0)
    wide = torch.promote_types(signal.dtype, filter.dtype)
    output = torch.einsum("dnm,bdm->bdn", matrix.to(wide), signal.to(wide)) + bias[:, None] * signal
    return output.to(signal.dtype)
