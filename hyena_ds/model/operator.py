"""The Hyena operator: projections, short convolution, gates and the long convolution between them."""

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional

from hyena_ds.model.config import ModelConfig
from hyena_ds.model.convolution import ConvolutionSettings, exchanged_convolution
from hyena_ds.model.dropout import Dropout
from hyena_ds.model.execution import Execution
from hyena_ds.model.filter import HyenaFilter, PositionalFeatures
from hyena_ds.model.sequence import own_channels


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
        self.in_proj = nn.Linear(config.d_model, width)
        self.out_proj = nn.Linear(config.d_model, config.d_model)
        self.short_filter = nn.Conv1d(width, width, config.short_filter_order, groups=width, padding=self.reach)
        self.filter_fn = HyenaFilter(config, features)
        self.dropout = Dropout(config.hyena_dropout, site)

    def forward(
        self, hidden: Tensor, keep: Tensor | None, keys: Tensor | None, start: int = 0, context: int = 0
    ) -> Tensor:
        """[B, context + L, D] → [B, L, D] at the positions from `start` on; `context` positions stand before them.

        `keep` [B, context + L] is 1 at real positions, `keys` [B] are for dropout.
        """
        projected = masked(self.in_proj(hidden).transpose(1, 2), keep)  # [B, (N + 1) D, L]
        first, *gates, value = self._local(self.short_filter(projected), context).chunk(self.order + 1, dim=1)
        filters, biases = self.filters(self.execution.sequence.size * value.shape[-1])
        keep = None if keep is None else keep[:, context:]
        for step, gate in enumerate(reversed(gates)):
            value = self.gated(value, gate, keep, keys, start)
            value = exchanged_convolution(self.settings(), value, filters[step], biases[step])
        mixed: Tensor = self.out_proj((value * first).transpose(1, 2))
        return mixed

    def projections(self, hidden: Tensor, keep: Tensor | None, context: int, parts: slice) -> tuple[Tensor, ...]:
        """Some of the N + 1 projections after the short convolution, each [B, D, L]; 0 is the last gate, N the value.

        As `forward` computes all of them, for callers that need them at different times.
        """
        width = self.out_proj.in_features
        rows = slice(parts.start * width, parts.stop * width)
        projected = functional.linear(hidden, self.in_proj.weight[rows], self.in_proj.bias[rows]).transpose(1, 2)
        weight, bias = (value[rows] for value in self.short_filter.parameters())
        filtered = functional.conv1d(masked(projected, keep), weight, bias, padding=self.reach, groups=weight.shape[0])
        return self._local(filtered, context).chunk(parts.stop - parts.start, dim=1)

    def _local(self, filtered: Tensor, context: int) -> Tensor:
        """The short convolution's output without context and the positions that its padding adds on the right."""
        return filtered[..., context : filtered.shape[-1] - self.reach]

    def gated(self, value: Tensor, gate: Tensor, keep: Tensor | None, keys: Tensor | None, start: int) -> Tensor:
        """What is convolved next: [B, D, L], with `keep` [B, L]."""
        product = self.dropout((value * gate).transpose(1, 2), keys, start).transpose(1, 2)
        return masked(product, keep)

    def filters(self, length: int, tile: int | None = None) -> tuple[Tensor, Tensor]:
        """Filters [N - 1, D/P, length] and biases [N - 1, D/P] of the channels that this rank convolves.

        `tile` is that of the rank's own positions; a filter is narrower by P and longer by P.
        """
        sequence = self.execution.sequence
        own = own_channels(sequence, self.out_proj.in_features)
        filters, biases = self.filter_fn(length, own, None if tile is None else tile * sequence.size)
        return filters, biases

    def filter_of(self, step: int, length: int, tile: int) -> Tensor:
        """The filter [D/P, length] of one long convolution, outside autograd."""
        with torch.no_grad():
            return self.filters(length, tile)[0][step]

    def settings(self, filter_again: Callable[[], Tensor] | None = None) -> ConvolutionSettings:
        """How the long convolutions of this operator are computed."""
        execution = self.execution
        return ConvolutionSettings(execution.sequence, execution.convolution, self.bidirectional, filter_again)


def masked(value: Tensor, keep: Tensor | None) -> Tensor:
    """`value` [B, D, L], zero where `keep` [B, L] is 0."""
    return value if keep is None else value * keep[:, None, :].to(value.dtype)
