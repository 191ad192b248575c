"""A language model behind learned vectors that no token has."""

import torch
from torch import Tensor, nn

from hyena_ds.downstream.in_context.prompt import PromptBatch
from hyena_ds.model.language_model import HyenaLanguageModel


class PromptedModel(nn.Module):
    """`model` with `count` soft tokens before every sequence; only what `tune_model` says trains."""

    def __init__(self, model: HyenaLanguageModel, count: int, dropout: float, *, tune_model: bool) -> None:
        super().__init__()
        self.model = model.requires_grad_(tune_model)
        self.soft_tokens = nn.Parameter(torch.empty(count, model.config.d_model).normal_(std=0.02))
        self.dropout = nn.Dropout(dropout)

    def forward(self, batch: PromptBatch, keys: Tensor | None = None) -> Tensor:
        """Logits fp32 [n, 16] of the tokens that the batch asks for; `keys` [B] are those of dropout."""
        bases = self.model.backbone.embeddings(batch.tokens)
        soft = self.dropout(self.soft_tokens).expand(len(bases), -1, -1)
        for last in self.model.backbone.hidden_states(torch.cat([soft, bases], dim=1), None, keys):
            state = last
        logits: Tensor = self.model.lm_head(state[batch.rows, len(self.soft_tokens) + batch.positions])
        return logits.float()
