"""Dropout as a pure function of (key, place in the model, position, channel).

With one key a sample, made of the seed, the step and the sample's global number, the same elements are dropped at any
world size, after any resume and in the replay of a checkpointed layer; no random state exists that could differ.
"""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from hyena_ds.ops.dropout.dispatch import dropped
from hyena_ds.ops.dropout.reference import mix64


def dropout_keys(seed: int, step: int, samples: Tensor) -> Tensor:
    """One int64 key for each global sample number [B] of a training step."""
    origin = torch.tensor([seed], dtype=torch.int64, device=samples.device)
    return mix64(mix64(mix64(origin) + step) + samples)


class _StatelessDropout(torch.autograd.Function):
    """Recomputes the mask in the backward pass instead of storing it."""

    @staticmethod
    def forward(ctx: Any, value: Tensor, keys: Tensor, site: int, probability: float, start: int) -> Tensor:
        ctx.save_for_backward(keys)
        ctx.place = (site, probability, start)
        return dropped(value, keys, *ctx.place)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None, None, None]:
        (keys,) = ctx.saved_tensors
        return dropped(gradients[0], keys, *ctx.place), None, None, None, None


class Dropout(nn.Module):
    """Dropout at one numbered place of the model, over [B, L, D] whose first position is `start`.

    Without keys, as outside our own training, it is torch's ordinary dropout.
    """

    def __init__(self, probability: float, site: int) -> None:
        super().__init__()
        self.probability = probability
        self.site = site

    def forward(self, value: Tensor, keys: Tensor | None, start: int = 0) -> Tensor:
        if not self.training or self.probability == 0.0:
            return value
        if keys is None:
            return functional.dropout(value, self.probability)
        result: Tensor = _StatelessDropout.apply(value, keys, self.site, self.probability, start)
        return result
