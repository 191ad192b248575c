"""The mask of dropout, and dropout, in plain torch."""

import torch
from torch import Tensor

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


def least_kept_bits(probability: float) -> int:
    """Where the lower 31 random bits of an element begin to keep it."""
    return round(probability * 2**31)


def keep_mask(keys: Tensor, site: int, length: int, channels: int, probability: float, start: int = 0) -> Tensor:
    """Which elements stay: bool [B, L, D] from int64 keys [B]; `site` numbers the dropout in the model.

    `start` is the place of the first position in the whole sequence.
    """
    position = torch.arange(start, start + length, dtype=torch.int64, device=keys.device)
    rows = mix64(mix64(keys + site)[:, None] + position)
    columns = mix64(torch.arange(channels, dtype=torch.int64, device=keys.device))
    bits = _mix32((rows >> 32).to(torch.int32)[..., None] + (columns >> 32).to(torch.int32))
    return (bits & 0x7FFFFFFF) >= least_kept_bits(probability)


def plainly_dropped(value: Tensor, keys: Tensor, site: int, probability: float, start: int) -> Tensor:
    """As `dropped`."""
    output = torch.empty_like(value)
    batch, length, channels = value.shape
    step = max(1, MASK_ELEMENTS // (batch * channels))
    for first in range(0, length, step):
        part = value[:, first : first + step]
        keep = keep_mask(keys, site, part.shape[1], channels, probability, start + first)
        output[:, first : first + step] = part * keep * (1.0 / (1.0 - probability))
    return output
