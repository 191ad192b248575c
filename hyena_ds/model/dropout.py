"""Dropout as a pure function of (key, place in the model, position, channel).

With one key a sample, made of the seed, the step and the sample's global number, the same elements are dropped at any
world size, after any resume and in the replay of a checkpointed layer; no random state exists that could differ.
"""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

# Elements whose random bits exist at once.
MASK_ELEMENTS = 2**26


def _wrapped(value: int, bits: int) -> int:
    """An unsigned constant as the signed integer of the same bits."""
    return value - (1 << bits) if value >> (bits - 1) else value


def _shifted(value: Tensor, count: int, bits: int) -> Tensor:
    """Logical right shift; torch's own keeps the sign."""
    return (value >> count) & ((1 << (bits - count)) - 1)


def mix64(value: Tensor) -> Tensor:
    """The finaliser of SplitMix64 (Steele et al. 2014) on int64, element by element."""
    value = value + _wrapped(0x9E3779B97F4A7C15, 64)
    value = (value ^ _shifted(value, 30, 64)) * _wrapped(0xBF58476D1CE4E5B9, 64)
    value = (value ^ _shifted(value, 27, 64)) * _wrapped(0x94D049BB133111EB, 64)
    return value ^ _shifted(value, 31, 64)


def _mix32(value: Tensor) -> Tensor:
    """The finaliser of MurmurHash3 on int32, element by element, in place."""
    value ^= _shifted(value, 16, 32)
    value *= _wrapped(0x85EBCA6B, 32)
    value ^= _shifted(value, 13, 32)
    value *= _wrapped(0xC2B2AE35, 32)
    return value.bitwise_xor_(_shifted(value, 16, 32))


def dropout_keys(seed: int, step: int, samples: Tensor) -> Tensor:
    """One int64 key for each global sample number [B] of a training step."""
    origin = torch.tensor([seed], dtype=torch.int64, device=samples.device)
    return mix64(mix64(mix64(origin) + step) + samples)


def keep_mask(keys: Tensor, site: int, length: int, channels: int, probability: float, start: int = 0) -> Tensor:
    """Which elements stay: bool [B, L, D] from int64 keys [B]; `site` numbers the dropout in the model.

    `start` is the place of the first position in the whole sequence.
    """
    position = torch.arange(start, start + length, dtype=torch.int64, device=keys.device)
    rows = mix64(mix64(keys + site)[:, None] + position)
    columns = mix64(torch.arange(channels, dtype=torch.int64, device=keys.device))
    bits = _mix32((rows >> 32).to(torch.int32)[..., None] + (columns >> 32).to(torch.int32))
    return (bits & 0x7FFFFFFF) >= round(probability * 2**31)


class _StatelessDropout(torch.autograd.Function):
    """Recomputes the mask in the backward pass instead of storing it."""

    @staticmethod
    def forward(ctx: Any, value: Tensor, keys: Tensor, site: int, probability: float, start: int) -> Tensor:
        ctx.save_for_backward(keys)
        ctx.place = (site, probability, start)
        return _masked(value, keys, *ctx.place)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None, None, None]:
        (keys,) = ctx.saved_tensors
        return _masked(gradients[0], keys, *ctx.place), None, None, None, None


def _masked(value: Tensor, keys: Tensor, site: int, probability: float, start: int) -> Tensor:
    output = torch.empty_like(value)
    batch, length, channels = value.shape
    step = max(1, MASK_ELEMENTS // (batch * channels))
    for first in range(0, length, step):
        part = value[:, first : first + step]
        keep = keep_mask(keys, site, part.shape[1], channels, probability, start + first)
        output[:, first : first + step] = part * keep * (1.0 / (1.0 - probability))
    return output


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
        dropped: Tensor = _StatelessDropout.apply(value, keys, self.site, self.probability, start)
        return dropped
