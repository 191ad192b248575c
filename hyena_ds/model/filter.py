"""The implicit filter: positional features → sine MLP → decaying window, always in fp32."""

import math
from types import ModuleType
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from hyena_ds.model.config import ModelConfig
from hyena_ds.model.tiling import Tiling, trainable
from hyena_ds.ops.fused import fused_kernels

ALL = slice(None)
# The window's slowest and fastest channels fall to TARGET at 1.5 and 0.3 of l_max.
DECAY_TARGET, SLOW_DECAY, FAST_DECAY = 0.01, 1.5, 0.3
# What the Triton kernels serve: the published depth, widths that fill a tile, as many features as it holds with a bias.
FUSED_LAYERS, FUSED_WIDTHS, MOST_FUSED_FEATURES = 3, (16, 32, 64), 15


class SequenceTooLongError(ValueError):
    """An input is longer than the model's `l_max`."""


class PositionalFeatures(nn.Module):
    """Time and complex exponentials at each of `l_max` positions.

    Buffers: `t` [1, T, 1], from 0 to 1; `z` [1, T, E] = [t, cos(f w) a band, -sin(f w) a band], w = 2 pi n / T,
    f from 1e-4 to bands - 1 (Nguyen et al. 2023, appendix A). Computed in float64, kept in float32.
    """

    z: Tensor
    t: Tensor

    def __init__(self, l_max: int, emb_dim: int) -> None:
        super().__init__()
        bands = (emb_dim - 1) // 2
        device = torch.get_default_device()  # by name: transformers makes linspace alone default to the CPU
        t = torch.linspace(0, 1, l_max, dtype=torch.float64, device=device)[None, :, None]
        frequency = torch.linspace(1e-4, bands - 1, bands, dtype=torch.float64, device=device)
        position = torch.arange(l_max, dtype=torch.float64, device=device)[None, :, None]
        angle = position * (2 * math.pi / l_max) * frequency
        self.register_buffer("z", torch.cat([t, angle.cos(), -angle.sin()], dim=-1).float())
        self.register_buffer("t", t.float())


class Sine(nn.Module):
    """sin(freq · x) with a trainable frequency [1, W] that all hidden layers of one filter share."""

    def __init__(self, width: int, frequency: float) -> None:
        super().__init__()
        self.freq = nn.Parameter(torch.full((1, width), float(frequency)))

    def forward(self, value: Tensor) -> Tensor:
        return torch.sin(self.freq * value)


class ExponentialModulation(nn.Module):
    """The window exp(-t |delta|) + shift, with one fixed decay rate a channel in `deltas` [1, 1, D]."""

    deltas: Tensor

    def __init__(self, channels: int, shift: float) -> None:
        super().__init__()
        self.shift = shift
        slow, fast = (math.log(DECAY_TARGET) / reach for reach in (SLOW_DECAY, FAST_DECAY))
        deltas = torch.linspace(slow, fast, channels, dtype=torch.float64).float()
        self.register_buffer("deltas", deltas[None, None, :])

    def forward(self, t: Tensor, value: Tensor, channels: slice = ALL) -> Tensor:
        """`value` [1, T, C] of the given channels, decaying with t [1, T, 1]."""
        return value * (torch.exp(-t * self.deltas[..., channels].abs()) + self.shift)


class HyenaFilter(nn.Module):
    """The filters of one layer, order - 1 a channel; filter channel = channel · (order - 1) + order index.

    Its MLP is evaluated in fp32 whatever the engine's precision: sin(10 x) amplifies bf16 rounding to errors of
    0.6 % at initialisation and over 100 % at weight scale 0.3.
    """

    def __init__(self, config: ModelConfig, features: PositionalFeatures) -> None:
        super().__init__()
        self.l_max = config.l_max
        self.filters_per_channel = config.order - 1
        channels = config.d_model * self.filters_per_channel
        self.bias = nn.Parameter(torch.randn(channels))
        self.pos_emb = features
        self.implicit_filter = _sine_network(config, channels)
        self.modulation = ExponentialModulation(channels, config.filter_shift)

    def forward(self, length: int, channels: slice = ALL, tile: int | None = None) -> tuple[Tensor, Tensor]:
        """The filters [order - 1, C, length] and biases [order - 1, C] of `channels`, fp32; see `filters`."""
        return self.filters(length, channels, tile), self.biases(channels)

    def biases(self, channels: slice = ALL) -> Tensor:
        """The biases [order - 1, C] of `channels`."""
        return self.bias[self._rows(channels)].reshape(-1, self.filters_per_channel).T

    def filters(self, length: int, channels: slice = ALL, tile: int | None = None) -> Tensor:
        """The filters [order - 1, C, length] of `channels`, fp32.

        With `tile`, that many positions are computed at a time, and again in the backward pass: the network's hidden
        values are never stored. Raises SequenceTooLongError where `length` is above `l_max`.
        """
        if length > self.l_max:
            raise SequenceTooLongError(
                f"the input has {length:,} tokens, the model's l_max is {self.l_max:,}; "
                "cut it into windows or use a model of longer context"
            )
        rows = self._rows(channels)
        z, t = self.pos_emb.z[:, :length], self.pos_emb.t[:, :length]
        if (kernels := self._fused_kernels()) is not None:
            with torch.autocast(z.device.type, enabled=False):
                filters = kernels.fused_implicit_filter(*self._fused_arguments(z, t, rows))[None]
        elif tile is None:
            filters = self._values(z, t, rows)
        else:
            tiling = Tiling(
                function=lambda _start, _context, z, t: (self._values(z, t, rows),),
                parameters=trainable(self.implicit_filter),
                size=tile,
                dimension=2,
            )
            (filters,) = tiling(0, z, t)
        # [1, C * O, L] -> [O, C, L]
        by_order: Tensor = filters[0].reshape(-1, self.filters_per_channel, length).transpose(0, 1)
        return by_order

    def _rows(self, channels: slice) -> slice:
        """The filter channels of `channels`."""
        first, last, _ = channels.indices(self.bias.shape[0] // self.filters_per_channel)
        return slice(first * self.filters_per_channel, last * self.filters_per_channel)

    def _values(self, z: Tensor, t: Tensor, rows: slice) -> Tensor:
        """The filter channels `rows` [1, R, T] at the positions of the tables z [1, T, E] and t [1, T, 1]."""
        with torch.autocast(z.device.type, enabled=False):
            hidden = z
            for weight, bias in self._sine_layers():
                hidden = torch.sin(functional.linear(hidden, weight, bias))
            values: Tensor = self.modulation(t, functional.linear(hidden, self._last_weight()[rows]), rows)
        return values.transpose(1, 2)

    def _sine_layers(self) -> list[tuple[Tensor, Tensor]]:
        """Weight and bias of each layer of sin(W x + b), the frequency folded into them: half the passes over x."""
        layers: list[Any] = list(self.implicit_filter)[:-1]
        return [
            (linear.weight * sine.freq.T, linear.bias * sine.freq[0])
            for linear, sine in zip(layers[::2], layers[1::2], strict=True)
        ]

    def _last_weight(self) -> Tensor:
        last: Any = self.implicit_filter[-1]
        weight: Tensor = last.weight
        return weight

    def _fused_kernels(self) -> ModuleType | None:
        z, layers = self.pos_emb.z, len(self.implicit_filter) // 2
        width = self._last_weight().shape[1]
        served = layers == FUSED_LAYERS and width in FUSED_WIDTHS and z.shape[2] <= MOST_FUSED_FEATURES
        return fused_kernels("implicit_filter", z) if served and z.dtype == torch.float32 else None

    def _fused_arguments(self, z: Tensor, t: Tensor, rows: slice) -> tuple[Any, ...]:
        layers: list[Any] = list(self.implicit_filter)[:-1:2]
        first, *inner = [linear.weight for linear in layers]
        biases = torch.stack([linear.bias for linear in layers])
        sine: Any = self.implicit_filter[1]
        deltas = self.modulation.deltas[0, 0, rows]
        weights = first, torch.stack(inner), biases, sine.freq[0], self._last_weight()[rows]
        return z[0], t[0, :, 0], deltas, self.modulation.shift, *weights


def _sine_network(config: ModelConfig, channels: int) -> nn.Sequential:
    width = config.filter_order
    sine = Sine(width, config.activation_freq)
    layers: list[nn.Module] = [nn.Linear(config.emb_dim, width), sine]
    for _ in range(config.num_inner_mlps):
        layers += [nn.Linear(width, width), sine]
    return nn.Sequential(*layers, nn.Linear(width, channels, bias=False))
