"""Hidden states of many positions as one vector; positions that do not count never touch it."""

from typing import Literal

import numpy as np
import torch
from torch import Tensor

Pooling = Literal["mean", "sum", "max", "first", "last", "none"]


def pool(hidden: Tensor, counted: Tensor, pooling: Pooling) -> Tensor:
    """[B, D] from hidden states [B, L, D] at the positions where `counted` [B, L] is True.

    `mean` gives the sum, which `joined` divides; a row without a counted position is 0 (`max`: -inf).
    """
    match pooling:
        case "mean" | "sum":
            return torch.einsum("bl,bld->bd", counted.to(hidden.dtype), hidden)
        case "max":
            return hidden.masked_fill(~counted[..., None], -torch.inf).amax(dim=1)
        case "first" | "last":
            position = torch.arange(counted.shape[1], 0, -1, device=counted.device)
            order = position if pooling == "first" else position.flip(0)
            row = torch.arange(len(hidden), device=counted.device)
            return hidden[row, (counted * order).argmax(dim=1)]
    raise ValueError(f"pooling {pooling!r} keeps every position")


def joined(pooled: np.ndarray, counts: np.ndarray, pooling: Pooling) -> np.ndarray:
    """The vector [D] of a sequence from those of its pieces [W, D], of `counts` [W] positions; NaN where all are 0."""
    kept = pooled[counts > 0]
    if not len(kept):
        return np.full(pooled.shape[1], np.nan, dtype=np.float32)
    total = kept.sum(axis=0, dtype=np.float64)
    choices = {"mean": total / counts.sum(), "sum": total, "max": kept.max(axis=0), "first": kept[0], "last": kept[-1]}
    return np.asarray(choices[pooling], dtype=np.float32)
