"""One filter for all micro-batches of an optimizer step, which have one length: it depends on parameters alone.

All micro-batches but the last take the filter's values, and their gradients gather there. The last takes the filter
itself, whose backward pass adds what was gathered: the network is differentiated once a step.
"""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

REUSED_FILTER_BYTES = 2**28


class FilterReuse:
    """The filters that the micro-batches of a step share; `largest_bytes` bounds those of a layer."""

    def __init__(self, largest_bytes: int = REUSED_FILTER_BYTES) -> None:
        self.largest_bytes = largest_bytes
        self._values: dict[nn.Module, Tensor] = {}
        self._more_follow = False

    def begin(self, number: int, count: int) -> None:
        """Micro-batch `number` of `count` comes next; whatever a dropped step gathered is forgotten with the first."""
        if number == 0:
            self._values.clear()
        self._more_follow = number < count - 1

    def filters(
        self, owner: nn.Module, nbytes: int, compute: Callable[[], Tensor], parameters: Sequence[nn.Parameter]
    ) -> Tensor:
        """What `compute` gives of `owner`, of so many bytes, from `parameters`."""
        if not torch.is_grad_enabled() or nbytes > self.largest_bytes:
            return compute()
        if self._more_follow:
            if owner not in self._values:
                with torch.no_grad():
                    self._values[owner] = compute()
                self._values[owner].requires_grad_()
            values: Tensor = _Values.apply(self._values[owner], *parameters)
            return values
        live = compute()
        gathered = self._values.pop(owner, None)
        if gathered is None or gathered.grad is None:
            return live
        whole: Tensor = _WithGradient.apply(live, gathered.grad)
        return whole


class _Values(torch.autograd.Function):
    """The values; parameters receive zeros, since DeepSpeed's hooks count on a gradient a micro-batch."""

    @staticmethod
    def forward(ctx: Any, values: Tensor, *parameters: Tensor) -> Tensor:
        ctx.parameters = parameters
        return values.view_as(values)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, ...]:
        return gradients[0], *(torch.zeros_like(parameter) for parameter in ctx.parameters)


class _WithGradient(torch.autograd.Function):
    """The value as it is; what was gathered joins its gradient."""

    @staticmethod
    def forward(ctx: Any, value: Tensor, gathered: Tensor) -> Tensor:
        ctx.gathered = gathered
        return value.view_as(value)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        return gradients[0] + ctx.gathered, None
