"""HyenaDNA as pretrained: embeddings, blocks, final norm and a head tied to the embeddings."""

import math
from collections.abc import Iterator

import torch
from torch import Tensor, nn

from hyena_ds.model.block import Block, add_and_normalise
from hyena_ds.model.config import ModelConfig
from hyena_ds.model.dropout import Dropout
from hyena_ds.model.execution import Execution, positions_of
from hyena_ds.model.filter import PositionalFeatures
from hyena_ds.model.operator import HyenaOperator
from hyena_ds.model.tiling import Tiling, trainable
from hyena_ds.ops.token_loss.dispatch import fused_token_loss_serves, token_loss

# 12 tokens, padded to a multiple of 8; rows 12 to 15 are in every published checkpoint.
EMBEDDING_ROWS = 16


class TokenEmbeddings(nn.Module):
    """Token ids [B, L] → [B, L, D]; there is no position embedding."""

    def __init__(self, d_model: int) -> None:
        super().__init__()
        self.word_embeddings = nn.Embedding(EMBEDDING_ROWS, d_model)

    def forward(self, input_ids: Tensor) -> Tensor:
        embedded: Tensor = self.word_embeddings(input_ids)
        return embedded


class HyenaBackbone(nn.Module):
    """Everything but the head.

    Args:
        config: the model's shape.
        execution: how it is computed.
        share_tables: one positional table for all layers; False where imported weights bring one for each.
    """

    def __init__(self, config: ModelConfig, execution: Execution | None = None, *, share_tables: bool = True) -> None:
        super().__init__()
        self.execution = execution or Execution()
        self.reach = config.short_filter_order - 1
        self._drops = any((config.resid_dropout, config.hyena_dropout))
        self.embeddings = TokenEmbeddings(config.d_model)
        shared = PositionalFeatures(config.l_max, config.emb_dim) if share_tables else None
        self.layers = nn.ModuleList(
            Block(config, shared or PositionalFeatures(config.l_max, config.emb_dim), number, self.execution)
            for number in range(config.n_layer)
        )
        self.final_dropout = Dropout(config.resid_dropout, 3 * config.n_layer)
        self.ln_f = nn.LayerNorm(config.d_model, eps=config.layer_norm_epsilon)

    @property
    def replays_dropout(self) -> bool:
        """Whether the backward pass repeats dropout."""
        return self.training and self._drops and self.execution.activation_checkpointing != "none"

    def compute_by(self, execution: Execution) -> None:
        """Compute as `execution` says from now on."""
        self.execution = execution
        for module in self.modules():
            if isinstance(module, Block | HyenaOperator):
                module.execution = execution

    def forward(
        self, input_ids: Tensor, attention_mask: Tensor | None = None, dropout_keys: Tensor | None = None
    ) -> Tensor:
        """Hidden states [B, L/P, D] after the final norm, of token ids [B, L/P] and a mask of the same shape."""
        for last in self.hidden_states(self.embeddings(input_ids), attention_mask, dropout_keys):
            state = last  # one state alive at a time
        return state

    def hidden_states(
        self, embedded: Tensor, attention_mask: Tensor | None = None, dropout_keys: Tensor | None = None
    ) -> Iterator[Tensor]:
        """The embeddings, the output of each layer and the final norm's: n_layer + 2 tensors [B, L/P, D]."""
        if self.replays_dropout and dropout_keys is None:
            raise ValueError("activation checkpointing repeats dropout, which needs dropout_keys; give them")
        positions = positions_of(self.execution.sequence, self.reach, embedded.shape[1], attention_mask, dropout_keys)
        yield embedded
        hidden, residual = embedded, None
        del embedded
        for layer in self.layers:
            hidden, residual = layer(hidden, residual, positions)
            yield hidden
        hidden = self.final_dropout(hidden, dropout_keys, positions.start)
        yield add_and_normalise(self.ln_f, hidden, residual, wide=True)[1]


class NextTokenHead(nn.Linear):
    """Logits of the next token, or how surprising the one that came is."""

    def __init__(self, d_model: int, execution: Execution) -> None:
        super().__init__(d_model, EMBEDDING_ROWS, bias=False)
        self.execution = execution

    def forward(self, hidden: Tensor, targets: Tensor | None = None) -> Tensor:
        """Logits [B, L, 16] from hidden states [B, L, D]; with token ids `targets` [B, L], fp32 nats [B, L]."""
        if targets is None:
            return self._logits(hidden)
        if fused_token_loss_serves(hidden, self.weight):
            return token_loss(hidden, self.weight, targets)
        tiling = Tiling(self._nats, trainable(self), size=self.execution.tile(hidden.shape[0]))
        return tiling(0, hidden, targets)[0]

    def _logits(self, hidden: Tensor) -> Tensor:
        with torch.autocast(hidden.device.type, enabled=False):
            return super().forward(hidden)

    def _nats(self, _start: int, _context: int, hidden: Tensor, targets: Tensor) -> tuple[Tensor]:
        return (token_loss(hidden, self.weight, targets),)


class HyenaLanguageModel(nn.Module):
    """HyenaDNA with its next-base head; parameter names are those of the published checkpoints."""

    def __init__(self, config: ModelConfig, execution: Execution | None = None, *, share_tables: bool = True) -> None:
        super().__init__()
        self.config = config
        self.backbone = HyenaBackbone(config, execution, share_tables=share_tables)
        self.lm_head = NextTokenHead(config.d_model, self.backbone.execution)
        initialize(self, config)
        self.lm_head.weight = self.backbone.embeddings.word_embeddings.weight

    def forward(
        self,
        input_ids: Tensor,
        attention_mask: Tensor | None = None,
        dropout_keys: Tensor | None = None,
        targets: Tensor | None = None,
    ) -> Tensor:
        """Logits [B, L/P, 16] of the next token, never below fp32 in training, from token ids [B, L/P].

        With `targets` [B, L/P], the token ids that came next, their cross-entropy in nats instead, fp32 [B, L/P].
        """
        nats_or_logits: Tensor = self.lm_head(self.backbone(input_ids, attention_mask, dropout_keys), targets)
        return nats_or_logits


def initialize(model: nn.Module, config: ModelConfig) -> None:
    """The published initialisation: normal weights, zero biases, and depth-scaled output projections."""
    depth_scale = 1.0 / math.sqrt(2 * config.n_layer)
    for name, module in model.named_modules():
        if isinstance(module, nn.Linear):
            scale = depth_scale if name.endswith(("out_proj", "fc2")) else 1.0
            nn.init.normal_(module.weight, std=config.initializer_range * scale)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
        elif isinstance(module, nn.Embedding):
            nn.init.normal_(module.weight, std=config.initializer_range)
