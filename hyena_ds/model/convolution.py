"""The long convolution of a sequence that several ranks hold: each convolves whole sequences of some channels."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from hyena_ds.model.sequence import SequencePart
from hyena_ds.ops.long_convolution.dispatch import (
    ConvolutionBackend,
    long_convolution,
    long_convolution_gradients,
)


@dataclass(frozen=True)
class ConvolutionSettings:
    """How a convolution is computed; `filter_again` computes its filter once more where it shall not be kept."""

    sequence: SequencePart
    backend: ConvolutionBackend
    bidirectional: bool
    filter_again: Callable[[], Tensor] | None = None

    def pieces(self, channels: int) -> list[slice]:
        """The rank's channels in the pieces that travel one after the other."""
        width = -(-channels // self.sequence.pieces)
        return [slice(first, min(first + width, channels)) for first in range(0, channels, width)]


class _ExchangedConvolution(torch.autograd.Function):
    """Keeps the signal by channels, so that the backward pass sends no more than two gradients."""

    @staticmethod
    def forward(ctx: Any, settings: ConvolutionSettings, value: Tensor, filter: Tensor, bias: Tensor) -> Tensor:
        sequence, pieces = settings.sequence, settings.pieces(filter.shape[0])
        arrivals = [sequence.to_channels(value, piece) for piece in pieces]
        signals, returns = [], []
        for piece, arrival in zip(pieces, arrivals, strict=True):
            signals.append(arrival())
            output = long_convolution(
                signals[-1], filter[piece], bias[piece], backend=settings.backend, bidirectional=settings.bidirectional
            )
            returns.append(sequence.to_sequence(output))
        ctx.settings = settings
        ctx.save_for_backward(None if settings.filter_again else filter, bias, *signals)
        return _by_sequence(value, pieces, returns)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> tuple[None, Tensor, Tensor, Tensor]:
        settings: ConvolutionSettings = ctx.settings
        filter, bias, *signals = ctx.saved_tensors
        (received,) = gradients
        sequence, pieces = settings.sequence, settings.pieces(bias.shape[0])
        arrivals = [sequence.to_channels(received, piece) for piece in pieces]
        if settings.filter_again:
            filter = settings.filter_again()
        filter_gradient, bias_gradient = torch.empty_like(filter), torch.empty_like(bias)
        returns = []
        for piece, signal, arrival in zip(pieces, signals, arrivals, strict=True):
            output, filter_gradient[piece], bias_gradient[piece] = long_convolution_gradients(
                arrival(),
                signal,
                filter[piece],
                bias[piece],
                backend=settings.backend,
                bidirectional=settings.bidirectional,
            )
            returns.append(sequence.to_sequence(output))
        return None, _by_sequence(received, pieces, returns), filter_gradient, bias_gradient


def _by_sequence(like: Tensor, pieces: list[slice], returns: list[Callable[[], Tensor]]) -> Tensor:
    """[B, D, L/P] from pieces [B, P, c, L/P] that come back."""
    if len(returns) == 1:
        return returns[0]().flatten(1, 2)
    whole = torch.empty_like(like)
    by_rank = whole.unflatten(1, (-1, pieces[-1].stop))
    for piece, arrival in zip(pieces, returns, strict=True):
        by_rank[:, :, piece] = arrival()
    return whole


def exchanged_convolution(settings: ConvolutionSettings, value: Tensor, filter: Tensor, bias: Tensor) -> Tensor:
    """`long_convolution` of slices [B, D, L/P] with this rank's filters [D/P, L] and biases [D/P].

    Two exchanges forward and two backward, whatever is recomputed around it.
    """
    output: Tensor = _ExchangedConvolution.apply(settings, value, filter, bias)
    return output
