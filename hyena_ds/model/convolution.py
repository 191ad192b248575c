"""The long convolution of a sequence that several ranks hold: each convolves whole sequences of some channels."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from hyena_ds.model.sequence import SequencePart
from hyena_ds.ops.long_convolution.dispatch import ConvolutionBackend, convolution_gradients, convolve

Arrival = Callable[[], Tensor]


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


class _ExchangedConvolution(torch.autograd.Function):
    """Keeps the signal by channels, so that the backward pass sends no more than two gradients."""

    @staticmethod
    def forward(
        ctx: Any,
        settings: ConvolutionSettings,
        keep: bool,
        arrival: Arrival,
        value: Tensor,
        filter: Tensor,
        bias: Tensor,
    ) -> Tensor:
        output, kept = convolve(arrival(), filter, bias, **settings.computation, keep=keep)
        ctx.settings, ctx.filter_again = settings, settings.filter_again if kept.ends_with_filter else None
        ctx.save_for_backward(bias, *(kept.tensors[:-1] if ctx.filter_again else kept.tensors))
        return settings.sequence.to_sequence(output)().flatten(1, 2)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> tuple[None, None, None, Tensor, Tensor, Tensor]:
        settings: ConvolutionSettings = ctx.settings
        bias, *kept = ctx.saved_tensors
        arrival = sent_to_channels(settings.sequence, gradients[0])
        if ctx.filter_again:
            kept.append(ctx.filter_again())
        signal_gradient, *others = convolution_gradients(arrival(), kept, bias, **settings.computation)
        by_sequence = settings.sequence.to_sequence(signal_gradient)().flatten(1, 2)
        return None, None, None, by_sequence, others[0], others[1]


def sent_to_channels(sequence: SequencePart, value: Tensor) -> Arrival:
    """Start to send slices [B, D, L/P]; what is returned waits for this rank's channels [B, D/P, P, L/P]."""
    return sequence.to_channels(value.detach())


def exchanged_convolution(
    settings: ConvolutionSettings, value: Tensor, arrival: Arrival, filter: Tensor, bias: Tensor
) -> Tensor:
    """`long_convolution` of slices [B, D, L/P] that `sent_to_channels` sent, with this rank's filters [D/P, L], biases.

    The filter can be computed while they travel. Two exchanges forward and two backward, whatever is recomputed around.
    """
    output: Tensor = _ExchangedConvolution.apply(settings, torch.is_grad_enabled(), arrival, value, filter, bias)
    return output
