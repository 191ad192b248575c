"""Hidden states of many positions as one vector; positions that do not count never touch it."""

from collections.abc import Sequence
from typing import Literal

import numpy as np
import torch
from torch import Tensor

Pooling = Literal["mean", "sum", "max", "first", "last", "none"]


def pool(hidden: Tensor, counted: Tensor, pooling: Pooling) -> Tensor:
    """[B, D] from hidden states [B, L, D] at the positions where `counted` [B, L] is True.

    A row without a counted position is 0 (`max`: -inf).
    """
    match pooling:
        case "mean" | "sum":
            total = torch.einsum("bl,bld->bd", counted.to(hidden.dtype), hidden)
            return total / counted.sum(dim=1, keepdim=True).clamp(min=1) if pooling == "mean" else total
        case "max":
            return hidden.masked_fill(~counted[..., None], -torch.inf).amax(dim=1)
        case "first" | "last":
            position = torch.arange(counted.shape[1], 0, -1, device=counted.device)
            order = position if pooling == "first" else position.flip(0)
            row = torch.arange(len(hidden), device=counted.device)
            return hidden[row, (counted * order).argmax(dim=1)]
    raise ValueError(f"pooling {pooling!r} keeps every position")


def joined(pieces: Sequence[tuple[np.ndarray, int]], pooling: Pooling) -> np.ndarray:
    """The vector [D] of a sequence from those of its pieces, of so many positions each; NaN where all have none."""
    if len(pieces) == 1 and pieces[0][1]:  # most sequences, and quicker
        return pieces[0][0]
    pooled, counts = zip(*pieces, strict=True)
    weights = np.array(counts)
    kept, weights = np.stack(pooled)[weights > 0], weights[weights > 0]
    if not len(kept):
        return np.full(len(pooled[0]), np.nan, dtype=np.float32)
    match pooling:
        case "mean":
            return np.asarray(np.average(kept, axis=0, weights=weights), dtype=np.float32)
        case "sum":
            return np.asarray(kept.sum(axis=0, dtype=np.float64), dtype=np.float32)
        case "max":
            return np.asarray(kept.max(axis=0))
        case "first" | "last":
            return np.asarray(kept[0 if pooling == "first" else -1])
    raise ValueError(f"pooling {pooling!r} keeps every position")
