"""The public functions of the next token's cross-entropy."""

import torch
from torch import Tensor
from torch.nn import functional

from hyena_ds.ops.fused import fused_kernels

FUSED_TOKENS = 16


def fused_token_loss_serves(hidden: Tensor, weight: Tensor) -> bool:
    """Whether `token_loss` keeps no logits' graph, so that it need not be tiled."""
    return weight.shape[0] == FUSED_TOKENS and fused_kernels("token_loss", hidden, weight) is not None


def token_loss(hidden: Tensor, weight: Tensor, targets: Tensor) -> Tensor:
    """Cross-entropy in nats of `targets` [B, L] under the logits hidden Wᵀ, fp32 [B, L].

    `hidden` [B, L, D] and `weight` [16, D] are multiplied as they come, under autocast too; a target of -100 costs 0.
    """
    if fused_token_loss_serves(hidden, weight) and (kernels := fused_kernels("token_loss", hidden, weight)):
        fused: Tensor = kernels.fused_nats(hidden, weight, targets)
        return fused
    with torch.autocast(hidden.device.type, enabled=False):
        logits = functional.linear(hidden, weight).float()
    return functional.cross_entropy(logits.flatten(0, 1), targets.flatten(), reduction="none").view_as(targets)
