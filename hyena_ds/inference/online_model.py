"""The language model one token at a time: what a token needs of those before it is kept, never computed again."""

from typing import cast

import torch
from torch import Tensor

from hyena_ds.errors import InputError
from hyena_ds.inference.online_convolution import OnlineConvolution
from hyena_ds.model.block import Block, normalised
from hyena_ds.model.language_model import HyenaLanguageModel
from hyena_ds.ops.residual_norm.dispatch import add_residual


class OnlineModel:
    """A model that reads a prompt [B, P] and then tokens [B, 1], at most `length` in all.

    Raises InputError for a bidirectional model, whose outputs change with every token that comes.
    """

    def __init__(self, model: HyenaLanguageModel, length: int) -> None:
        if model.config.bidirectional:
            raise InputError("the model is bidirectional and cannot generate; use one trained left to right")
        self._model = model
        self._blocks = [_OnlineBlock(cast(Block, block), length) for block in model.backbone.layers]

    def __call__(self, tokens: Tensor) -> Tensor:
        """Logits [B, L, 16] of the token after each of these."""
        backbone = self._model.backbone
        hidden, residual = backbone.embeddings(tokens), None
        for block in self._blocks:
            hidden, residual = block(hidden, residual)
        logits: Tensor = self._model.lm_head(normalised(backbone.ln_f, add_residual(hidden, residual), wide=True))
        return logits.float()


class _OnlineBlock:
    """One layer, with the state of its convolutions, short and long."""

    def __init__(self, block: Block, length: int) -> None:
        filters, biases = block.mixer.filters(length)
        self._block = block
        self._convolutions = [OnlineConvolution(*pair) for pair in zip(filters, biases, strict=True)]
        self._context: Tensor | None = None  # the last positions, as the short convolution needs them

    def __call__(self, hidden: Tensor, residual: Tensor | None) -> tuple[Tensor, Tensor]:
        residual = add_residual(hidden, residual)
        residual = add_residual(self._mix(normalised(self._block.norm1, residual)), residual)
        return self._block.mlp(normalised(self._block.norm2, residual)), residual

    def _mix(self, normal: Tensor) -> Tensor:
        mixer = self._block.mixer
        extended = normal if self._context is None else torch.cat([self._context, normal], dim=1)
        before = extended.shape[1] - normal.shape[1]
        self._context = extended[:, max(extended.shape[1] - mixer.reach, 0) :]
        first, *gates, value = mixer.projections(extended, before, slice(0, mixer.order + 1))
        for convolution, gate in zip(self._convolutions, reversed(gates), strict=True):
            value = convolution(value * gate)
        mixed: Tensor = mixer.out_proj((value * first).transpose(1, 2))
        return mixed
