"""The one public function of the long convolution, and the choice of its backend."""

from typing import Literal

import torch
from torch import Tensor

from hyena_ds.ops.long_convolution.reference import direct_convolution
from hyena_ds.ops.long_convolution.right_angle import right_angle_convolution, right_angle_gradients

ConvolutionBackend = Literal["auto", "reference", "torch"]


def long_convolution(
    signal: Tensor,
    filter: Tensor,
    bias: Tensor,
    *,
    backend: ConvolutionBackend = "auto",
    bidirectional: bool = False,
) -> Tensor:
    """Convolve every channel with a filter as long as the sequence, and add `bias` times the signal.

    Args:
        signal: [B, D, L], bfloat16, float32 or float64.
        filter: [D, L], float32 or float64; tap j weighs the position j before.
        bias: [D], the dtype of `filter`.
        backend: `torch` (FFT), `reference` (direct, O(L²)), or `auto`, which takes `torch`.
        bidirectional: convolution plus its adjoint, tap 0 counted once; else causal.

    Returns:
        [B, D, L], the dtype of `signal`.

    Source: Poli et al. 2023 (Hyena), section 3; Nguyen et al. 2023 (HyenaDNA), appendix A.
    """
    if signal.shape[1:] != filter.shape or bias.shape != filter.shape[:1]:
        raise ValueError(
            f"signal {tuple(signal.shape)} needs a filter {tuple(signal.shape[1:])} and a bias "
            f"({signal.shape[1]},), not {tuple(filter.shape)} and {tuple(bias.shape)}"
        )
    match backend:
        case "auto" | "torch":
            return right_angle_convolution(signal, filter, bias, bidirectional=bidirectional)
        case "reference":
            return direct_convolution(signal, filter, bias, bidirectional=bidirectional)
        case _:
            raise ValueError(f"convolution backend {backend!r} is none of auto, reference, torch")


def long_convolution_gradients(
    received: Tensor,
    signal: Tensor,
    filter: Tensor,
    bias: Tensor,
    *,
    backend: ConvolutionBackend = "auto",
    bidirectional: bool = False,
) -> tuple[Tensor, Tensor, Tensor]:
    """The gradients of signal, filter and bias from `received`, the output's [B, D, L].

    For callers that are autograd functions themselves: the forward pass is not computed again.
    """
    if backend != "reference":
        return right_angle_gradients(received, signal, filter, bias, bidirectional)
    with torch.enable_grad():
        leaves = [value.detach().requires_grad_() for value in (signal, filter, bias)]
        output = direct_convolution(*leaves, bidirectional=bidirectional)
    signal_gradient, filter_gradient, bias_gradient = torch.autograd.grad(output, leaves, received)
    return signal_gradient, filter_gradient, bias_gradient
