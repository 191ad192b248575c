"""Position-wise parts of the model, computed tile by tile over the sequence and once more in the backward pass.

Nothing between inputs and outputs outlives its tile, and every parameter receives its gradient once a backward pass,
as DeepSpeed's hooks expect.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable


@dataclass(frozen=True)
class Tiling:
    """A function over tiles of the second dimension of its inputs.

    Attributes:
        function: (start, context, *tiles) → tensors; `start` is the tile's first position in the whole sequence, and
            the first tile begins with `context` positions more, those before `start`.
        parameters: what `function` is differentiated by besides its inputs.
        size: positions of a tile.
        width: positions of context that a tile takes from the one before it.
        offset: position of the inputs' first element in the whole sequence.
        dimension: of the outputs, the one that runs over positions.
    """

    function: Callable[..., tuple[Tensor, ...]]
    parameters: tuple[nn.Parameter, ...]
    size: int
    width: int = 0
    offset: int = 0
    dimension: int = 1

    def __call__(self, before: int, *inputs: Tensor | None) -> tuple[Tensor, ...]:
        """The outputs over all positions; the first input has `before` more, which stand before the others'."""
        outputs: tuple[Tensor, ...] = _Tiled.apply(self, before, len(inputs), *inputs, *self.parameters)
        return outputs


@dataclass(frozen=True)
class _Tile:
    """Positions [start, stop) of the inputs; the first of `inputs` has the `context` positions before, too."""

    start: int
    stop: int
    context: int
    inputs: list[Tensor | None]

    def of(self, value: Tensor, dimension: int) -> Tensor:
        """This tile's part of a tensor over all positions."""
        return value.narrow(dimension, self.start, self.stop - self.start)


def _tiles(tiling: Tiling, before: int, inputs: Sequence[Any]) -> Iterator[_Tile]:
    first, *others = inputs
    length, size = first.shape[1] - before, max(tiling.size, tiling.width)
    for start in range(0, length, size):
        stop = min(start + size, length)
        context = tiling.width if start else before
        extended = first[:, before + start - context : before + stop]
        parts = [None if value is None else value[:, start:stop] for value in others]
        yield _Tile(start, stop, context, [extended, *parts])


class _Tiled(torch.autograd.Function):
    """Saves its inputs alone; where one tile is all, nothing is copied or summed."""

    @staticmethod
    def forward(ctx: Any, tiling: Tiling, before: int, count: int, *tensors: Any) -> tuple[Tensor, ...]:
        inputs = tensors[:count]
        ctx.tiling, ctx.before, ctx.autocast = tiling, before, autocast_state(inputs[0])
        ctx.save_for_backward(*inputs)
        outputs: list[Tensor] = []
        length = inputs[0].shape[1] - before
        for tile in _tiles(tiling, before, inputs):
            parts = tiling.function(tiling.offset + tile.start, tile.context, *tile.inputs)
            if tile.stop - tile.start == length:
                return tuple(part.contiguous() for part in parts)
            if not outputs:
                outputs = [_stretched(part, tiling.dimension, length) for part in parts]
            for output, part in zip(outputs, parts, strict=True):
                tile.of(output, tiling.dimension).copy_(part)
        return tuple(outputs)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        tiling: Tiling = ctx.tiling
        inputs = ctx.saved_tensors
        needed = ctx.needs_input_grad[3 : 3 + len(inputs)]
        count = sum(needed)
        length = inputs[0].shape[1] - ctx.before
        totals: list[Tensor] = []
        sums: list[Tensor] = []
        for tile in _tiles(tiling, ctx.before, inputs):
            with torch.autocast(**ctx.autocast):
                found = _tile_gradients(tiling, tile, needed, gradients)
            if tile.stop - tile.start == length:
                return (None, None, None, *_by_input(found[:count], needed), *found[count:])
            if tile.start == 0:
                totals = [torch.empty_like(value) for value, need in zip(inputs, needed, strict=True) if need]
                sums = [torch.zeros_like(parameter) for parameter in tiling.parameters]
            for total, gradient in zip(totals, found[:count], strict=True):
                # From the right, since the first input alone has positions before the tile.
                end = total.shape[1] - length + tile.stop
                first = end - gradient.shape[1]
                # The tile before left its part of the context's gradient there.
                shared = gradient.shape[1] - (tile.stop - tile.start) if tile.start else 0
                total[:, first : first + shared] += gradient[:, :shared]
                total[:, first + shared : end] = gradient[:, shared:]
            for total, gradient in zip(sums, found[count:], strict=True):
                total += gradient
        return (None, None, None, *_by_input(totals, needed), *sums)


def _tile_gradients(
    tiling: Tiling, tile: _Tile, needed: Sequence[bool], gradients: Sequence[Tensor]
) -> Sequence[Tensor]:
    """The gradients of the tile's needed inputs, then of the parameters, from those of all outputs."""
    with torch.enable_grad():
        leaves = [
            value if value is None else value.detach().requires_grad_(need)
            for value, need in zip(tile.inputs, needed, strict=True)
        ]
        outputs = tiling.function(tiling.offset + tile.start, tile.context, *leaves)
    wanted = [leaf for leaf, need in zip(leaves, needed, strict=True) if leaf is not None and need]
    received = [tile.of(gradient, tiling.dimension) for gradient in gradients]
    return torch.autograd.grad(outputs, [*wanted, *tiling.parameters], received, materialize_grads=True)


def _by_input(totals: Sequence[Tensor], needed: Sequence[bool]) -> list[Tensor | None]:
    """The gradients of every input, None where none is needed."""
    rest = iter(totals)
    return [next(rest) if need else None for need in needed]


def _stretched(part: Tensor, dimension: int, length: int) -> Tensor:
    """Memory for a tile's output at all positions."""
    shape = list(part.shape)
    shape[dimension] = length
    return part.new_empty(shape)


def autocast_state(value: Tensor) -> dict[str, Any]:
    """What `torch.autocast` needs to be entered again as it is now; autograd enters the backward pass without it."""
    kind = value.device.type
    return {"device_type": kind, "enabled": torch.is_autocast_enabled(kind), "dtype": torch.get_autocast_dtype(kind)}


def trainable(*modules: nn.Module) -> tuple[nn.Parameter, ...]:
    """The parameters of `modules` that receive gradients."""
    return tuple(parameter for module in modules for parameter in module.parameters() if parameter.requires_grad)
