"""The one public function of the long convolution, and the choice of its backend."""

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, Literal

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from hyena_ds.ops.long_convolution.reference import direct_convolution
from hyena_ds.ops.long_convolution.right_angle import right_angle_convolution, right_angle_gradients

ConvolutionBackend = Literal["auto", "reference", "torch", "fast", "exact"]
Gradients = tuple[Tensor, Tensor, Tensor]


@dataclass(frozen=True)
class Kept:
    """What the backward pass of a convolution needs: signal and filter, or spectra of both."""

    tensors: tuple[Tensor, ...]
    ends_with_filter: bool = True


@dataclass(frozen=True)
class Kernels:
    """The backends `fast` and `exact`, for lengths from `shortest` to `longest`."""

    convolution: Callable[..., tuple[Tensor, Kept]]
    gradients: Callable[..., Gradients]
    shortest: int
    longest: int


# The package's `__init__` sets them where Triton is installed; the modeling file of an export does without.
kernels: Kernels | None = None


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
        backend: `torch` (FFT in fp32), `fast` (Triton, 16-bit spectra), `exact` (Triton, as fp32), `reference` (direct,
            O(L²)), or `auto`: `fast` for 16-bit signals on a GPU, else `torch`.
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
    output: Tensor = _LongConvolution.apply(
        chosen_backend(backend, signal), bidirectional, torch.is_grad_enabled(), signal, filter, bias
    )
    return output


def convolve(
    signal: Tensor, filter: Tensor, bias: Tensor, *, backend: ConvolutionBackend, bidirectional: bool, keep: bool
) -> tuple[Tensor, Kept]:
    """`long_convolution` outside autograd, and with `keep` what `convolution_gradients` needs.

    For callers that are autograd functions themselves: the forward pass is not computed again. A signal may be in
    slices [B, D, S, L/S], wherever they lie, and the output then is, too.
    """
    backend = chosen_backend(backend, signal)
    if backend in ("fast", "exact"):
        convolution, exact = _kernels(backend).convolution, backend == "exact"
        return convolution(signal, filter, bias, exact=exact, bidirectional=bidirectional, keep=keep)
    whole = signal.flatten(2)
    if backend == "torch":
        output = right_angle_convolution(whole, filter, bias, bidirectional)
    else:
        output = direct_convolution(whole, filter, bias, bidirectional=bidirectional)
    return output.view_as(signal), Kept((whole, filter))


def convolution_gradients(
    received: Tensor,
    tensors: Sequence[Tensor],
    bias: Tensor,
    *,
    backend: ConvolutionBackend,
    bidirectional: bool,
) -> Gradients:
    """The gradients of signal, filter and bias from `received`, the output's in its shape, and kept `tensors`."""
    backend = chosen_backend(backend, received)
    if backend in ("fast", "exact"):
        gradients, exact = _kernels(backend).gradients, backend == "exact"
        return gradients(received, tensors, bias, exact=exact, bidirectional=bidirectional)
    signal, filter = tensors
    whole = received.flatten(2)
    if backend == "torch":
        found = right_angle_gradients(whole, signal, filter, bias, bidirectional)
    else:
        found = _direct_gradients(whole, signal, filter, bias, bidirectional)
    return found[0].view_as(received), *found[1:]


def _direct_gradients(received: Tensor, signal: Tensor, filter: Tensor, bias: Tensor, bidirectional: bool) -> Gradients:
    with torch.enable_grad():
        leaves = [value.detach().requires_grad_() for value in (signal, filter, bias)]
        output = direct_convolution(*leaves, bidirectional=bidirectional)
    signal_gradient, filter_gradient, bias_gradient = torch.autograd.grad(output, leaves, received)
    return signal_gradient, filter_gradient, bias_gradient


def chosen_backend(backend: ConvolutionBackend, signal: Tensor) -> ConvolutionBackend:
    """What `auto` takes for a signal; any other backend is itself.

    Raises ValueError for an unknown one.
    """
    if backend not in ("auto", "reference", "torch", "fast", "exact"):
        raise ValueError(f"convolution backend {backend!r} is none of auto, reference, torch, fast, exact")
    if backend != "auto":
        return backend
    if not signal.is_cuda or signal.dtype not in (torch.bfloat16, torch.float16):
        return "torch"
    if kernels is None:
        _log_once("long convolution by torch: Triton, which is faster, is not installed")
        return "torch"
    if not kernels.shortest <= signal.shape[2:].numel() <= kernels.longest:
        _log_once(f"long convolution by torch: Triton's is for lengths up to {kernels.longest:,}")
        return "torch"
    return "fast"


def _kernels(backend: str) -> Kernels:
    if kernels is None:
        raise ValueError(f"convolution backend {backend!r} needs Triton, which is not installed: pip install triton")
    return kernels


@cache
def _log_once(message: str) -> None:
    logging.getLogger(__name__).warning(message)


class _LongConvolution(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, backend: ConvolutionBackend, bidirectional: bool, keep: bool, signal: Tensor, filter: Tensor,
        bias: Tensor,
    ) -> Tensor:  # fmt: skip
        output, kept = convolve(signal, filter, bias, backend=backend, bidirectional=bidirectional, keep=keep)
        ctx.settings = {"backend": backend, "bidirectional": bidirectional}
        ctx.save_for_backward(bias, *kept.tensors)
        return output

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        (received,) = gradients
        bias, *tensors = ctx.saved_tensors
        return None, None, None, *convolution_gradients(received, tensors, bias, **ctx.settings)
