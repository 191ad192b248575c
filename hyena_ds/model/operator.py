"""The Hyena operator: projections, short convolution, gates and the long convolution between them."""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from hyena_ds.model.config import ModelConfig
from hyena_ds.model.convolution import ConvolutionSettings, exchanged_convolution, sent_to_channels
from hyena_ds.model.dropout import Dropout
from hyena_ds.model.execution import Execution
from hyena_ds.model.filter import HyenaFilter, PositionalFeatures
from hyena_ds.model.linear import Linear
from hyena_ds.model.sequence import own_channels
from hyena_ds.model.tiling import trainable
from hyena_ds.ops.linear.dispatch import linear
from hyena_ds.ops.short_convolution.dispatch import short_convolution_finish, short_convolution_gate
from hyena_ds.ops.short_convolution.reference import short_convolution
from hyena_ds.ops.short_convolution.room import GradientRoom

LAST_GATE = slice(0, 1)
FP32_BYTES = 4


def masked(projected: Tensor, keep: Tensor | None) -> Tensor:
    """Zeros in place of the positions [B, L, D] where `keep` [B, L] is 0."""
    return projected if keep is None else projected * keep[..., None].to(projected.dtype)


class HyenaOperator(nn.Module):
    """y = x0 · (k * (x1 · v)), projected in and out; order N repeats gate and convolution N - 1 times.

    With an attention mask, padded positions are zeroed after the input projection and before each long convolution:
    the two places where they would reach real ones.
    """

    def __init__(
        self,
        config: ModelConfig,
        features: PositionalFeatures,
        site: int,
        execution: Execution,
    ) -> None:
        super().__init__()
        width = (config.order + 1) * config.d_model
        self.order = config.order
        self.bidirectional = config.bidirectional
        self.execution = execution
        self.reach = config.short_filter_order - 1
        self.in_proj = Linear(config.d_model, width)
        self.out_proj = Linear(config.d_model, config.d_model)
        self.short_filter = nn.Conv1d(width, width, config.short_filter_order, groups=width, padding=self.reach)
        self.filter_fn = HyenaFilter(config, features)
        self.dropout = Dropout(config.hyena_dropout, site)

    def forward(
        self, hidden: Tensor, keep: Tensor | None, keys: Tensor | None, start: int = 0, context: int = 0
    ) -> Tensor:
        """[B, context + L, D] → [B, L, D] at the positions from `start` on; `context` positions stand before them.

        `keep` [B, context + L] is 1 at real positions, `keys` [B] are for dropout.
        """
        width = self.out_proj.in_features
        projected = masked(self.in_proj(hidden), keep)  # [B, context + L, (N + 1) D]
        room = GradientRoom()
        first, *gates = room.split(projected, [width] * (self.order - 1) + [2 * width])
        sequence, settings = self.execution.sequence, self.settings()
        signal = self.signal(0, gates[-1], None, keep, keys, start, context, room)
        arrival = sent_to_channels(sequence, signal)
        filters, biases = self.filters(sequence.size * (hidden.shape[1] - context))
        value = exchanged_convolution(settings, signal, arrival, filters[0], biases[0])
        for step, gate in enumerate(reversed(gates[:-1]), start=1):
            signal = self.signal(step, gate, value, keep, keys, start, context)
            arrival = sent_to_channels(sequence, signal)
            value = exchanged_convolution(settings, signal, arrival, filters[step], biases[step])
        return self.finish(first, value, context, room)

    def parts(self, step: int) -> slice:
        """The projections that the signal of the long convolution `step` needs: a gate, and first of all the value."""
        last = self.order - step
        return slice(last - 1, last if step else last + 1)

    def project(self, hidden: Tensor, parts: slice, keep: Tensor | None = None) -> Tensor:
        """Some of the N + 1 projections, side by side [B, L, P D]; 0 is the last gate, N the value.

        As `forward` computes all of them, for callers that need them at different times.
        """
        rows = self._rows(parts)
        return masked(linear(hidden, self.in_proj.weight[rows], self.in_proj.bias[rows]), keep)

    def projections(self, hidden: Tensor, context: int, parts: slice) -> tuple[Tensor, ...]:
        """Some of the N + 1 projections after the short convolution, each [B, D, L]."""
        filtered = short_convolution(self.project(hidden, parts), *self._short_filter(parts), context)
        return filtered.chunk(parts.stop - parts.start, dim=1)

    def signal(
        self,
        step: int,
        projected: Tensor,
        value: Tensor | None,
        keep: Tensor | None,
        keys: Tensor | None,
        start: int,
        context: int,
        room: GradientRoom | None = None,
    ) -> Tensor:
        """What the long convolution `step` convolves [B, D, L].

        `projected` [B, context + L, P D] are its `parts`, for whose gradient there may be `room`; `value` [B, D, L]
        left the convolution before, if any.
        """
        short_filter = self._short_filter(self.parts(step))
        if value is None:
            product = short_convolution_gate(projected, *short_filter, context, room)
        else:
            product = value * short_convolution(projected, *short_filter, context)
        dropped: Tensor = self.dropout(product.transpose(1, 2), keys, start).transpose(1, 2)
        return dropped if keep is None else dropped * keep[:, None, context:].to(dropped.dtype)

    def finish(self, projected: Tensor, value: Tensor, context: int, room: GradientRoom | None = None) -> Tensor:
        """The output [B, L, D] from the last gate [B, context + L, D] and what the last convolution gave [B, D, L]."""
        gated = short_convolution_finish(projected, *self._short_filter(LAST_GATE), value, context, room)
        mixed: Tensor = self.out_proj(gated)
        return mixed

    def _rows(self, parts: slice) -> slice:
        width = self.out_proj.in_features
        return slice(parts.start * width, parts.stop * width)

    def _short_filter(self, parts: slice) -> tuple[Tensor, Tensor]:
        rows = self._rows(parts)
        weight, bias = self.short_filter.parameters()
        return weight[rows], bias[rows]

    def filters(self, length: int, tile: int | None = None) -> tuple[Tensor, Tensor]:
        """Filters [N - 1, D/P, length] and biases [N - 1, D/P] of the channels that this rank convolves.

        `tile` is that of the rank's own positions; a filter is narrower by P and longer by P.
        """
        sequence, width = self.execution.sequence, self.out_proj.in_features
        own = own_channels(sequence, width)
        network = self.filter_fn.implicit_filter
        filters = self.execution.filter_reuse.filters(
            self.filter_fn,
            FP32_BYTES * (self.order - 1) * width // sequence.size * length,
            lambda: self.filter_fn.filters(length, own, None if tile is None else tile * sequence.size),
            trainable(network),
        )
        return filters, self.filter_fn.biases(own)

    def filter_of(self, step: int, length: int, tile: int) -> Tensor:
        """The filter [D/P, length] of one long convolution, outside autograd."""
        with torch.no_grad():
            return self.filters(length, tile)[0][step]  # a gradient is not recorded, so that nothing is reused

    def settings(self, filter_again: Callable[[], Tensor] | None = None) -> ConvolutionSettings:
        """How the long convolutions of this operator are computed."""
        execution = self.execution
        return ConvolutionSettings(execution.sequence, execution.convolution, self.bidirectional, filter_again)
