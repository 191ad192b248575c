"""HyenaDNA as pretrained: embeddings, blocks, final norm and a head tied to the embeddings."""

import math
from collections.abc import Iterator

import torch
from torch import Tensor, nn

from hyena_ds.model.block import ActivationCheckpointing, Block, add_residual, normalised
from hyena_ds.model.config import ModelConfig
from hyena_ds.model.dropout import Dropout
from hyena_ds.model.filter import PositionalFeatures
from hyena_ds.ops.long_convolution.dispatch import ConvolutionBackend

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
        activation_checkpointing: which part of each block is recomputed in the backward pass.
        convolution: backend of the long convolution.
        share_tables: one positional table for all layers; False where imported weights bring one for each.
    """

    def __init__(
        self,
        config: ModelConfig,
        *,
        activation_checkpointing: ActivationCheckpointing = "none",
        convolution: ConvolutionBackend = "auto",
        share_tables: bool = True,
    ) -> None:
        super().__init__()
        self.embeddings = TokenEmbeddings(config.d_model)
        shared = PositionalFeatures(config.l_max, config.emb_dim) if share_tables else None
        self.layers = nn.ModuleList(
            Block(
                config,
                shared or PositionalFeatures(config.l_max, config.emb_dim),
                number,
                activation_checkpointing=activation_checkpointing,
                convolution=convolution,
            )
            for number in range(config.n_layer)
        )
        self.final_dropout = Dropout(config.resid_dropout, 3 * config.n_layer)
        self.ln_f = nn.LayerNorm(config.d_model, eps=config.layer_norm_epsilon)

    def forward(
        self, input_ids: Tensor, attention_mask: Tensor | None = None, dropout_keys: Tensor | None = None
    ) -> Tensor:
        """Hidden states [B, L, D] after the final norm."""
        embedded: Tensor = self.embeddings(input_ids)
        last = embedded
        for state in self.hidden_states(embedded, attention_mask, dropout_keys):
            last = state  # one state alive at a time
        return last

    def hidden_states(
        self, embedded: Tensor, attention_mask: Tensor | None = None, dropout_keys: Tensor | None = None
    ) -> Iterator[Tensor]:
        """The embeddings, the output of each layer and the final norm's: n_layer + 2 tensors [B, L, D]."""
        yield embedded
        hidden, residual = embedded, None
        for layer in self.layers:
            hidden, residual = layer(hidden, residual, attention_mask, dropout_keys)
            yield hidden
        yield normalised(self.ln_f, add_residual(self.final_dropout(hidden, dropout_keys), residual))


class HyenaLanguageModel(nn.Module):
    """HyenaDNA with its next-base head; parameter names are those of the published checkpoints."""

    def __init__(
        self,
        config: ModelConfig,
        *,
        activation_checkpointing: ActivationCheckpointing = "none",
        convolution: ConvolutionBackend = "auto",
        share_tables: bool = True,
    ) -> None:
        super().__init__()
        self.config = config
        self.backbone = HyenaBackbone(
            config,
            activation_checkpointing=activation_checkpointing,
            convolution=convolution,
            share_tables=share_tables,
        )
        self.lm_head = nn.Linear(config.d_model, EMBEDDING_ROWS, bias=False)
        initialize(self, config)
        self.lm_head.weight = self.backbone.embeddings.word_embeddings.weight

    def forward(
        self, input_ids: Tensor, attention_mask: Tensor | None = None, dropout_keys: Tensor | None = None
    ) -> Tensor:
        """Logits [B, L, 16] of the next token, never below fp32 in training, from token ids [B, L]."""
        hidden = self.backbone(input_ids, attention_mask, dropout_keys)
        with torch.autocast(hidden.device.type, enabled=False):
            logits: Tensor = self.lm_head(hidden)
        return logits


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
