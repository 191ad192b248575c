"""From hidden states to a task's outputs: which positions count, and the head behind them."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from hyena_ds.model.dropout import Dropout

DecoderMode = Literal["pool", "sum", "first", "last", "position"]
SpecialToken = Literal["[CLS]", "[SEP]", "[BOS]", "[MASK]", "[RESERVED]"]
SPECIAL_TOKEN_IDS: dict[SpecialToken, int] = {"[CLS]": 0, "[SEP]": 1, "[BOS]": 2, "[MASK]": 3, "[RESERVED]": 5}
# The number of the head's dropout, beyond those of any backbone.
HEAD_SITE = 1_000_000


@dataclass(frozen=True)
class DecoderConfig:
    """How the hidden states of a sequence become its outputs.

    `mode` reads their mean (`pool`), their `sum`, the `first` or `last` of them, or each `position` by itself. Padding
    never counts; special tokens count where `special_tokens` names them. `parts` cuts the positions that count into as
    many stretches of like length, whose means or sums stand side by side, so that the head knows where. `normalize`
    gives each pooled vector mean 0 and deviation 1. `widths` are those of hidden layers, with ReLU; `dropout` stands
    behind each, or before the output where there are none.
    """

    # Read by pydantic where this class is a section of a run's config.
    __pydantic_config__: ClassVar[dict[str, Any]] = {"extra": "forbid", "strict": True, "allow_inf_nan": False}

    mode: DecoderMode = "pool"
    special_tokens: tuple[SpecialToken, ...] = ()
    parts: int = 1
    normalize: bool = False
    widths: tuple[int, ...] = ()
    dropout: float = 0.0
    bias: bool = True

    def __post_init__(self) -> None:
        if self.parts < 1:
            raise ValueError(f"parts={self.parts} must be at least 1")
        if self.parts > 1 and self.mode not in ("pool", "sum"):
            raise ValueError(f"parts={self.parts} divides what mode=pool or mode=sum reads, not mode={self.mode}")
        if any(width < 1 for width in self.widths):
            raise ValueError(f"widths={list(self.widths)} must all be at least 1")
        if not 0.0 <= self.dropout < 1.0:
            raise ValueError(f"dropout={self.dropout} must be in [0, 1)")


def counted_positions(input_ids: Tensor, attention_mask: Tensor, special_tokens: Sequence[str]) -> Tensor:
    """Where a decoder may look, bool [B, L]: real positions, without the special tokens that are not named."""
    counted = attention_mask != 0
    for name, number in SPECIAL_TOKEN_IDS.items():
        if name not in special_tokens:
            counted = counted & (input_ids != number)
    return counted


def position_weights(counted: Tensor, config: DecoderConfig) -> Tensor:
    """What each position contributes to each of N parts, fp32 [B, L, N], from `counted` bool [B, L]."""
    number = counted.cumsum(dim=1)
    count = number[:, -1:]
    match config.mode:
        case "first":
            chosen = counted & (number == 1)
        case "last":
            chosen = counted & (number == count)
        case "pool" | "sum":
            chosen = counted
        case "position":
            raise ValueError("a head of one output a position reads no pooled vector; open it for token classification")
    part = (number - 1) * config.parts // count.clamp(min=1)
    inside = part[..., None] == torch.arange(config.parts, device=counted.device)
    weights = (inside & chosen[..., None]).float()
    return weights / weights.sum(dim=1, keepdim=True).clamp(min=1) if config.mode == "pool" else weights


def pooled(hidden: Tensor, weights: Tensor) -> Tensor:
    """The weighted sums of positions, fp32 [B, N * D], of hidden states [B, L, D] and weights [B, L, N]."""
    with torch.autocast(hidden.device.type, enabled=False):
        return torch.einsum("blp,bld->bpd", weights, hidden.float()).flatten(1)


class DecoderHead(nn.Linear):
    """Outputs [..., C] of vectors [..., N * D], computed in fp32; without hidden layers it is one linear layer."""

    def __init__(self, config: DecoderConfig, d_model: int, outputs: int) -> None:
        widths = [d_model * config.parts, *config.widths]
        super().__init__(widths[-1], outputs, bias=config.bias)
        self.hidden = nn.ModuleList(
            nn.Linear(width, following) for width, following in zip(widths, config.widths, strict=False)
        )
        places = max(len(config.widths), 1)
        self.dropouts = nn.ModuleList(Dropout(config.dropout, HEAD_SITE + number) for number in range(places))
        self.normalize = config.normalize

    def forward(self, value: Tensor, keys: Tensor | None = None, start: int = 0) -> Tensor:
        """`value` [B, N * D] or [B, L, D], whose first position is `start`; `keys` [B] are for dropout."""
        if value.dim() == 2:
            return self.forward(value[:, None], keys)[:, 0]
        with torch.autocast(value.device.type, enabled=False):
            value = value.to(self.weight.dtype)
            if self.normalize:
                value = (value - value.mean(-1, keepdim=True)) / (value.std(-1, keepdim=True) + 1e-8)
            if not self.hidden:
                value = self.dropouts[0](value, keys, start)
            for layer, dropout in zip(self.hidden, self.dropouts, strict=False):
                value = dropout(torch.relu(layer(value)), keys, start)
            return functional.linear(value, self.weight, self.bias)
