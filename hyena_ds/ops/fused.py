"""Where the fused operators run as Triton kernels, and where as plain torch."""

from functools import cache
from importlib import import_module
from importlib.util import find_spec
from types import ModuleType

import torch
from torch import Tensor

FUSED_DTYPES = {torch.bfloat16, torch.float32}


def fused_kernels(operator: str, *values: Tensor) -> ModuleType | None:
    """The Triton side of the operator in `hyena_ds/ops/<operator>`, or None where plain torch computes `values`."""
    return _module(operator) if all(_served(value) for value in values) else None


def _served(value: Tensor) -> bool:
    return value.is_cuda and value.dtype in FUSED_DTYPES and _is_recent(value.device)


@cache
def _is_recent(device: torch.device) -> bool:
    return torch.cuda.get_device_capability(device) >= (8, 0)


@cache
def _module(operator: str) -> ModuleType | None:
    """None without Triton, and in an export, which is one file and holds no kernels."""
    if find_spec("triton") is None or not __name__.startswith("hyena_ds."):
        return None
    return import_module(f"hyena_ds.ops.{operator}.fused")
