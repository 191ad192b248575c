"""A backbone with a task's head, whole or as the two parts that a frozen backbone makes of it."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from hyena_ds.genome.alphabet import PAD
from hyena_ds.model.config import ModelConfig
from hyena_ds.model.decoder import DecoderConfig, DecoderHead, counted_positions, pooled, position_weights
from hyena_ds.model.execution import Execution
from hyena_ds.model.language_model import HyenaBackbone, initialize
from hyena_ds.model.sequence import own_positions


@dataclass(frozen=True)
class TaskShape:
    """What decides the shapes of a task's model."""

    model: ModelConfig
    decoder: DecoderConfig
    outputs: int


class TaskModel(nn.Module):
    """Outputs of whole sequences; every rank of a sequence group is given all tokens and computes its positions."""

    def __init__(self, shape: TaskShape, execution: Execution | None = None, *, share_tables: bool = True) -> None:
        super().__init__()
        self.decoder = shape.decoder
        self.backbone = HyenaBackbone(shape.model, execution, share_tables=share_tables)
        self.score = DecoderHead(shape.decoder, shape.model.d_model, shape.outputs)
        initialize(self, shape.model)

    def features(self, tokens: Tensor, dropout_keys: Tensor | None = None) -> Tensor:
        """What the head reads of token ids [B, L]: pooled [B, N * D], or this rank's hidden states [B, L/P, D]."""
        sequence = self.backbone.execution.sequence
        real = tokens != PAD
        hidden: Tensor = self.backbone(own_positions(sequence, tokens), own_positions(sequence, real), dropout_keys)
        if self.decoder.mode == "position":
            return hidden
        weights = position_weights(counted_positions(tokens, real, self.decoder.special_tokens), self.decoder)
        return sequence.summed(pooled(hidden, own_positions(sequence, weights)))

    def forward(self, tokens: Tensor, dropout_keys: Tensor | None = None) -> Tensor:
        """Outputs [B, C], or [B, L/P, C] of this rank's positions, fp32, of token ids [B, L] padded on any side."""
        start = self.backbone.execution.sequence.rank * (tokens.shape[1] // self.backbone.execution.sequence.size)
        outputs: Tensor = self.score(self.features(tokens, dropout_keys), dropout_keys, start)
        return outputs


class HeadAlone(nn.Module):
    """The part of a task model that trains where its backbone stays; parameters keep their names."""

    def __init__(self, model: TaskModel) -> None:
        super().__init__()
        self.score = model.score

    def forward(self, features: Tensor, dropout_keys: Tensor | None = None, start: int = 0) -> Tensor:
        outputs: Tensor = self.score(features, dropout_keys, start)
        return outputs


class FrozenBackbone:
    """Features without gradients or dropout, computed in the precision of the run."""

    def __init__(self, model: TaskModel, device: torch.device, *, bf16: bool) -> None:
        self._model, self._device, self._bf16 = model, device, bf16
        model.backbone.to(device).eval().requires_grad_(False)

    @torch.no_grad()
    def features(self, tokens: Tensor) -> Tensor:
        """As `TaskModel.features`."""
        with torch.autocast(self._device.type, dtype=torch.bfloat16, enabled=self._bf16):
            return self._model.features(tokens).float()
