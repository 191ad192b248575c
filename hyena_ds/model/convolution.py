"""The long convolution of a sequence that several ranks hold: each convolves whole sequences of some channels."""

from collections.abc import Callable
from dataclasses import dataclass
from itertools import chain, islice
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from hyena_ds.model.sequence import SequencePart
from hyena_ds.ops.long_convolution.dispatch import (
    ConvolutionBackend,
    Kept,
    convolution_gradients,
    convolve,
)


@dataclass(frozen=True)
class ConvolutionSettings:
    """How a convolution is computed; `filter_again` computes its filter once more where it shall not be kept."""

    sequence: SequencePart
    backend: ConvolutionBackend
    bidirectional: bool
    filter_again: Callable[[], Tensor] | None = None

    @property
    def computation(self) -> dict[str, Any]:
        """What `convolve` and `convolution_gradients` need to know."""
        return {"backend": self.backend, "bidirectional": self.bidirectional}

    def pieces(self, channels: int) -> list[slice]:
        """The rank's channels in the pieces that travel one after the other."""
        width = -(-channels // self.sequence.pieces)
        return [slice(first, min(first + width, channels)) for first in range(0, channels, width)]


class _ExchangedConvolution(torch.autograd.Function):
    """Keeps the signal by channels, so that the backward pass sends no more than two gradients."""

    @staticmethod
    def forward(
        ctx: Any, settings: ConvolutionSettings, keep: bool, value: Tensor, filter: Tensor, bias: Tensor
    ) -> Tensor:
        sequence, pieces = settings.sequence, settings.pieces(filter.shape[0])
        arrivals = [sequence.to_channels(value, piece) for piece in pieces]
        kept: list[Kept] = []
        returns = []
        for piece, arrival in zip(pieces, arrivals, strict=True):
            output, own = convolve(arrival(), filter[piece], bias[piece], **settings.computation, keep=keep)
            kept.append(own)
            returns.append(sequence.to_sequence(output))
        ctx.settings, ctx.filter_again = settings, settings.filter_again if kept[0].ends_with_filter else None
        tensors = [own.tensors[:-1] if ctx.filter_again else own.tensors for own in kept]
        ctx.counts = [len(own) for own in tensors]
        ctx.save_for_backward(bias, *chain(*tensors))
        return _by_sequence(value, pieces, returns)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> tuple[None, None, Tensor, Tensor, Tensor]:
        settings: ConvolutionSettings = ctx.settings
        bias, *tensors = ctx.saved_tensors
        (received,) = gradients
        sequence, pieces = settings.sequence, settings.pieces(bias.shape[0])
        arrivals = [sequence.to_channels(received, piece) for piece in pieces]
        filter = ctx.filter_again() if ctx.filter_again else None
        rest = iter(tensors)
        found: list[tuple[Tensor, Tensor]] = []
        returns = []
        for piece, arrival, count in zip(pieces, arrivals, ctx.counts, strict=True):
            kept = [*islice(rest, count), *([] if filter is None else [filter[piece]])]
            output, *others = convolution_gradients(arrival(), kept, bias[piece], **settings.computation)
            found.append((others[0], others[1]))
            returns.append(sequence.to_sequence(output))
        filter_gradient, bias_gradient = map(_joined, zip(*found, strict=True))
        return None, None, _by_sequence(received, pieces, returns), filter_gradient, bias_gradient


def _joined(parts: tuple[Tensor, ...]) -> Tensor:
    return parts[0] if len(parts) == 1 else torch.cat(parts)


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
    output: Tensor = _ExchangedConvolution.apply(settings, torch.is_grad_enabled(), value, filter, bias)
    return output
