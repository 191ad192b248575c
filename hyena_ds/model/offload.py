"""Keeps what the backward pass needs in the host's memory, which is larger than the GPU's."""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor

# Pinned memory is handed out in powers of two; pieces of one size waste none.
PIECE_ELEMENTS = 2**26


@lru_cache(maxsize=8)
def _copy_stream(device: torch.device) -> torch.cuda.Stream:
    return torch.cuda.Stream(device)


class _HostCopy:
    """A CUDA tensor's values in pinned memory, copied beside the computation."""

    def __init__(self, value: Tensor) -> None:
        self._like = torch.empty_like(value, device="meta")
        self._device = value.device
        stream = _copy_stream(value.device)
        stream.wait_stream(torch.cuda.current_stream(value.device))
        with torch.cuda.stream(stream):
            pieces = value.flatten().split(PIECE_ELEMENTS)
            self._pieces = [torch.empty_like(piece, device="cpu", pin_memory=True) for piece in pieces]
            for place, piece in zip(self._pieces, pieces, strict=True):
                place.copy_(piece, non_blocking=True)
        value.record_stream(stream)
        self._done = stream.record_event()

    def on_device(self) -> Tensor:
        value = torch.empty_like(self._like, device=self._device)
        torch.cuda.current_stream(self._device).wait_event(self._done)
        for place, piece in zip(value.flatten().split(PIECE_ELEMENTS), self._pieces, strict=True):
            place.copy_(piece, non_blocking=True)
        return value


@contextmanager
def saved_on_host(value: Tensor, enabled: bool) -> Iterator[None]:
    """Inside, autograd saves `value` in the host's memory, once however many functions save it; on a CPU, in place."""
    if not (enabled and value.is_cuda and torch.is_grad_enabled()):
        yield
        return
    copy: list[_HostCopy] = []
    # Not the tensor itself: autograd keeps the hooks, which would keep it on the device.
    wanted = _identity(value)

    def pack(saved: Tensor) -> Any:
        if _identity(saved) != wanted:
            return saved
        if not copy:
            copy.append(_HostCopy(saved))
        return copy[0]

    def unpack(packed: Any) -> Tensor:
        restored: Tensor = packed.on_device() if isinstance(packed, _HostCopy) else packed
        return restored

    with torch.autograd.graph.saved_tensors_hooks(pack, unpack):
        yield


def _identity(value: Tensor) -> tuple[Any, ...]:
    return value.data_ptr(), value.shape, value.dtype
