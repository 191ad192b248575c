"""Dropout by keys as a Triton kernel."""

import torch
import triton
from torch import Tensor

from hyena_ds.ops.dropout.kernels import drop
from hyena_ds.ops.dropout.reference import least_kept_bits

ROWS, COLUMNS, WARPS = 16, 256, 4


def fused_dropped(value: Tensor, keys: Tensor, site: int, probability: float, start: int) -> Tensor:
    """As `dropped`, to the bit."""
    output = torch.empty_like(value)
    batch, length, channels = value.shape
    drop[triton.cdiv(length, ROWS), triton.cdiv(channels, COLUMNS), batch](
        value, keys, output, *value.stride(), *output.stride(), length, channels, site, start,
        least_kept_bits(probability), 1.0 / (1.0 - probability),
        ROWS=ROWS, COLUMNS=COLUMNS, num_warps=WARPS,
    )  # fmt: skip
    return output
