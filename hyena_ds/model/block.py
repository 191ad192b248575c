"""One layer: norm, Hyena operator, norm, MLP, around a residual stream in fp32."""

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from hyena_ds.model.config import ModelConfig
from hyena_ds.model.convolution import exchanged_convolution, sent_to_channels
from hyena_ds.model.dropout import Dropout
from hyena_ds.model.execution import Execution, Positions
from hyena_ds.model.filter import PositionalFeatures
from hyena_ds.model.linear import Linear
from hyena_ds.model.offload import saved_on_host
from hyena_ds.model.operator import LAST_GATE, HyenaOperator
from hyena_ds.model.tiling import Tiling, trainable
from hyena_ds.ops.linear_gelu.dispatch import linear_gelu
from hyena_ds.ops.residual_norm.dispatch import add_residual, added_norm, residual_norm


class Mlp(nn.Module):
    """Linear, GELU by its tanh approximation, linear."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.fc1 = nn.Linear(config.d_model, config.inner_width)
        self.fc2 = Linear(config.inner_width, config.d_model)

    def forward(self, hidden: Tensor) -> Tensor:
        output: Tensor = self.fc2(linear_gelu(hidden, self.fc1.weight, self.fc1.bias))
        return output


class Block(nn.Module):
    """A prenorm layer that carries (hidden, residual); the dropouts before its two norms are `sites` of the model."""

    def __init__(self, config: ModelConfig, features: PositionalFeatures, number: int, execution: Execution) -> None:
        super().__init__()
        first_dropout = config.embed_dropout if number == 0 else config.resid_dropout
        self.dropout1 = Dropout(first_dropout, 3 * number)
        self.norm1 = nn.LayerNorm(config.d_model, eps=config.layer_norm_epsilon)
        self.mixer = HyenaOperator(config, features, 3 * number + 1, execution)
        self.dropout2 = Dropout(config.resid_dropout, 3 * number + 2)
        self.norm2 = nn.LayerNorm(config.d_model, eps=config.layer_norm_epsilon)
        self.mlp = Mlp(config)
        self.execution = execution

    def forward(self, hidden: Tensor, residual: Tensor | None, positions: Positions) -> tuple[Tensor, Tensor]:
        """The MLP's output, and the residual stream before it."""
        hidden = self.dropout1(hidden, positions.keys, positions.start)
        policy = self.execution.activation_checkpointing
        if policy in ("mixer", "block"):
            return self._recomputed_mixer(hidden, residual, positions)
        mixed, residual = self._mix(hidden, residual, positions)
        if policy == "none":
            residual, normal = add_and_normalise(self.norm2, mixed, residual)
            return self.mlp(normal), residual
        residual = add_residual(mixed, residual)
        tiling = self._tiling(self._transform_tile, positions, residual, self.norm2, self.mlp)
        return tiling(0, residual)[0], residual

    def _mix(self, hidden: Tensor, residual: Tensor | None, positions: Positions) -> tuple[Tensor, Tensor]:
        """The mixer's output, and the residual stream before it."""
        residual, normal = add_and_normalise(self.norm1, hidden, residual)
        residual, halo = self.execution.sequence.with_halo(residual, self.mixer.reach)
        if halo is not None:
            normal = normalised(self.norm1, torch.cat([halo, residual], dim=1))
        context = normal.shape[1] - residual.shape[1]
        real = positions.real(positions.start - context, normal.shape[1])
        mixed = self.mixer(normal, real, positions.keys, positions.start, context)
        return self.dropout2(mixed, positions.keys, positions.start), residual

    def _recomputed_mixer(self, hidden: Tensor, residual: Tensor | None, positions: Positions) -> tuple[Tensor, Tensor]:
        """As `forward`, keeping of the mixer what enters it and what enters and leaves each long convolution."""
        residual, halo = self.execution.sequence.with_halo(add_residual(hidden, residual), self.mixer.reach)
        del hidden
        before = 0 if halo is None else halo.shape[1]
        extended = residual if halo is None else torch.cat([halo, residual], dim=1)
        del residual, halo
        with saved_on_host(extended, self.execution.offload):
            value = self._convolved(extended, before, positions)
            modules: tuple[nn.Module, ...] = (*self._projections(), self.mixer.out_proj)
            if self.execution.activation_checkpointing == "mixer":
                (residual,) = self._tiling(self._finish_tile, positions, extended, *modules)(before, extended, value)
                return self._transform(residual), residual
            modules = (*modules, self.norm2, self.mlp)
            tiling = self._tiling(self._finish_and_transform_tile, positions, extended, *modules)
            transformed, residual = tiling(before, extended, value)
            return transformed, residual

    def _transform(self, residual: Tensor) -> Tensor:
        transformed: Tensor = self.mlp(normalised(self.norm2, residual))
        return transformed

    def _convolved(self, extended: Tensor, before: int, positions: Positions) -> Tensor:
        """What leaves the last long convolution [B, L/P, D]; of all before, its inputs and outputs alone are kept."""
        mixer, tile = self.mixer, self.execution.tile(extended.shape[0])
        length = (extended.shape[1] - before) * self.execution.sequence.size
        value: tuple[Tensor, ...] = ()
        for step in range(mixer.order - 1):
            gate = partial(self._gate_tile, step)
            tiling = self._tiling(gate, positions, extended, *self._projections(), dimension=2)
            (signal,) = tiling(before, extended, *value)
            arrival = sent_to_channels(self.execution.sequence, signal)
            if step == 0:
                filters, biases = mixer.filters(length, tile)
                kept = filters.nbytes <= self.execution.kept_filter_bytes
            settings = mixer.settings(None if kept else partial(mixer.filter_of, step, length, tile))
            value = (exchanged_convolution(settings, signal, arrival, filters[step], biases[step]).transpose(1, 2),)
        return value[0]

    def _projections(self) -> tuple[nn.Module, ...]:
        """What lies between the residual stream and the gates."""
        return self.norm1, self.mixer.in_proj, self.mixer.short_filter

    def _tiling(
        self,
        function: Callable[..., Any],
        positions: Positions,
        residual: Tensor,
        *modules: nn.Module,
        dimension: int = 1,
    ) -> Tiling:
        return Tiling(
            function=partial(function, positions),
            parameters=trainable(*modules),
            size=self.execution.tile(residual.shape[0]),
            width=self.mixer.reach,
            offset=positions.start,
            dimension=dimension,
        )

    def _gate_tile(
        self, step: int, positions: Positions, start: int, context: int, extended: Tensor, *value: Tensor
    ) -> tuple[Tensor]:
        """The signal [B, D, T] of the long convolution `step`; `value` [B, T, D] left the one before."""
        real = positions.real(start - context, extended.shape[1])
        projected = self.mixer.project(normalised(self.norm1, extended), self.mixer.parts(step), real)
        carried = value[0].transpose(1, 2) if value else None
        return (self.mixer.signal(step, projected, carried, real, positions.keys, start, context),)

    def _mixed_tile(self, positions: Positions, start: int, context: int, extended: Tensor, value: Tensor) -> Tensor:
        """The mixer's output, whose last long convolution gave `value` [B, T, D]."""
        real = positions.real(start - context, extended.shape[1])
        projected = self.mixer.project(normalised(self.norm1, extended), LAST_GATE, real)
        mixed = self.mixer.finish(projected, value.transpose(1, 2), context)
        dropped: Tensor = self.dropout2(mixed, positions.keys, start)
        return dropped

    def _finish_tile(
        self, positions: Positions, start: int, context: int, extended: Tensor, value: Tensor
    ) -> tuple[Tensor]:
        """The residual stream after the mixer."""
        mixed = self._mixed_tile(positions, start, context, extended, value)
        return (add_residual(mixed, extended[:, context:]),)

    def _transform_tile(self, _positions: Positions, _start: int, context: int, extended: Tensor) -> tuple[Tensor]:
        return (self._transform(extended[:, context:]),)

    def _finish_and_transform_tile(
        self, positions: Positions, start: int, context: int, extended: Tensor, value: Tensor
    ) -> tuple[Tensor, Tensor]:
        mixed = self._mixed_tile(positions, start, context, extended, value)
        residual, normal = add_and_normalise(self.norm2, mixed, extended[:, context:])
        return self.mlp(normal), residual


def normalised(norm: nn.LayerNorm, residual: Tensor, *, wide: bool = False) -> Tensor:
    """The norm of the fp32 residual, for a matrix product; `wide` in the dtype of the weights."""
    return residual_norm(residual, norm.weight, norm.bias, norm.eps, wide=wide)


def add_and_normalise(
    norm: nn.LayerNorm, hidden: Tensor, residual: Tensor | None, *, wide: bool = False
) -> tuple[Tensor, Tensor]:
    """The residual stream with `hidden` added, and its norm."""
    return added_norm(hidden, residual, norm.weight, norm.bias, norm.eps, wide=wide)
