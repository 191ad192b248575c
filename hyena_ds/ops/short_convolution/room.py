"""Parts of a tensor whose gradients are written side by side."""

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable


class GradientRoom:
    """The gradient of one tensor, in which the backward passes of its parts' users write theirs where they belong.

    Autograd would join the parts' gradients by one more pass over all of them.
    """

    def __init__(self) -> None:
        self._whole: Tensor | None = None

    def split(self, whole: Tensor, sizes: list[int]) -> tuple[Tensor, ...]:
        """A contiguous tensor in parts along the last dimension."""
        parts: tuple[Tensor, ...] = _Split.apply(whole, self, sizes)
        return parts

    def of(self, part: Tensor) -> Tensor:
        """Where the gradient of a part may be written; what is left elsewhere is copied there."""
        if self._whole is None:
            row = part.stride(-2)
            self._whole = torch.empty(*part.shape[:-1], row, dtype=part.dtype, device=part.device)
        return self._whole.as_strided(part.shape, part.stride(), part.storage_offset() % part.stride(-2))

    def taken(self) -> Tensor | None:
        """The whole gradient, of which nothing is kept: the next backward pass begins another."""
        whole, self._whole = self._whole, None
        return whole


class _Split(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, whole: Tensor, room: GradientRoom, sizes: list[int]) -> tuple[Tensor, ...]:
        ctx.room, ctx.sizes = room, sizes
        parts: tuple[Tensor, ...] = whole.split(sizes, dim=-1)
        return parts

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None]:
        whole = ctx.room.taken()
        if whole is None:
            return torch.cat(gradients, dim=-1), None, None
        for place, gradient in zip(whole.split(ctx.sizes, dim=-1), gradients, strict=True):
            if place.data_ptr() != gradient.data_ptr():
                place.copy_(gradient)
        return whole, None, None
