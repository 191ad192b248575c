"""A backbone with a task's head, whole or as the two parts that a frozen backbone makes of it."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from hyena_ds.data.batch import base_targets
from hyena_ds.genome.alphabet import PAD
from hyena_ds.model.config import ModelConfig
from hyena_ds.model.decoder import DecoderConfig, DecoderHead, counted_positions, pooled, position_weights
from hyena_ds.model.execution import Execution
from hyena_ds.model.language_model import HyenaBackbone, NextTokenHead, initialize
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
        self.lm_head = NextTokenHead(shape.model.d_model, self.backbone.execution)
        self.lm_head.weight = self.backbone.embeddings.word_embeddings.weight

    def features(self, tokens: Tensor, dropout_keys: Tensor | None = None) -> Tensor:
        """What the head reads of token ids [B, L]: pooled [B, N * D], or this rank's hidden states [B, L/P, D]."""
        return self._read(self._hidden(tokens, dropout_keys), tokens)

    def forward(
        self, tokens: Tensor, dropout_keys: Tensor | None = None, *, language: bool = False
    ) -> Tensor | tuple[Tensor, Tensor]:
        """Outputs [B, C], or [B, L/P, C] of this rank's positions, fp32, of token ids [B, L] padded on any side.

        With `language` also this rank's share of the mean cross-entropy of each sequence's next known bases, nats [B].
        """
        hidden = self._hidden(tokens, dropout_keys)
        sequence = self.backbone.execution.sequence
        start = sequence.rank * (tokens.shape[1] // sequence.size)
        outputs: Tensor = self.score(self._read(hidden, tokens), dropout_keys, start)
        return (outputs, self._next_bases(hidden, tokens)) if language else outputs

    def _next_bases(self, hidden: Tensor, tokens: Tensor) -> Tensor:
        sequence = self.backbone.execution.sequence
        following = functional.pad(tokens[:, 1:], (0, 1), value=PAD)
        counted = base_targets(following) & (tokens != PAD)
        nats = self.lm_head(hidden, own_positions(sequence, following)) * own_positions(sequence, counted)
        mean: Tensor = nats.sum(dim=1) / counted.sum(dim=1).clamp(min=1)
        return mean

    def _hidden(self, tokens: Tensor, dropout_keys: Tensor | None) -> Tensor:
        sequence = self.backbone.execution.sequence
        hidden: Tensor = self.backbone(
            own_positions(sequence, tokens), own_positions(sequence, tokens != PAD), dropout_keys
        )
        return hidden

    def _read(self, hidden: Tensor, tokens: Tensor) -> Tensor:
        if self.decoder.mode == "position":
            return hidden
        sequence = self.backbone.execution.sequence
        weights = position_weights(counted_positions(tokens, tokens != PAD, self.decoder.special_tokens), self.decoder)
        return sequence.summed(pooled(hidden, own_positions(sequence, weights)))


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
