"""One sequence over the ranks of a group: halos for the short convolution, and exchanges of positions for channels."""

from collections.abc import Callable
from typing import Any

import torch
import torch.distributed
from torch import Tensor

from hyena_ds.parallel.dimensions import ParallelDimensions


class SequenceGroup:
    """Contiguous slices of the same sequences on the ranks of one group (`model.sequence.SequencePart`).

    Every rank of the world must make it, since each group is made by all. Exchanges run in the order of the calls,
    the same on all ranks of a group.
    """

    def __init__(self, dimensions: ParallelDimensions, rank: int) -> None:
        self.size = dimensions.sequence_parallel_size
        self.rank = dimensions.sequence_rank(rank)
        for members in dimensions.sequence_groups():
            group = torch.distributed.new_group(members)
            if rank in members:
                self._group = group

    def with_halo(self, value: Tensor, width: int) -> tuple[Tensor, Tensor | None]:
        if width == 0:
            return value, None
        value, halo = _Halo.apply(value, width, self)
        return value, None if self.rank == 0 else halo

    def to_channels(self, value: Tensor) -> Callable[[], Tensor]:
        by_rank = value.unflatten(1, (self.size, -1))  # [B, P, D/P, L/P]
        arrived = self._exchange(by_rank.transpose(0, 1))
        return lambda: arrived().permute(1, 2, 0, 3)

    def to_sequence(self, value: Tensor) -> Callable[[], Tensor]:
        arrived = self._exchange(value.permute(2, 0, 1, 3))
        return lambda: arrived().transpose(0, 1)

    def summed(self, value: Tensor) -> Tensor:
        total: Tensor = _Sum.apply(value, self)
        return total

    def all_reduced(self, value: Tensor) -> Tensor:
        """The sum over the ranks of the group, outside autograd."""
        total = value.clone(memory_format=torch.contiguous_format)
        torch.distributed.all_reduce(total, group=self._group)
        return total

    def _exchange(self, by_rank: Tensor) -> Callable[[], Tensor]:
        """Send [P, ...] to the ranks, receive theirs in their order."""
        sent = by_rank.contiguous()
        received = torch.empty_like(sent)
        work: Any = torch.distributed.all_to_all_single(received, sent, group=self._group, async_op=True)

        def arrive(_sent: Tensor = sent) -> Tensor:
            work.wait()
            return received

        return arrive

    def gather_edges(self, edge: Tensor) -> list[Tensor]:
        """A few positions of every rank, in order."""
        edges = [torch.empty_like(edge) for _ in range(self.size)]
        torch.distributed.all_gather(edges, edge.contiguous(), group=self._group)
        return edges


class _Sum(torch.autograd.Function):
    """The sum over the ranks of a group; each rank's value bears on every rank's loss."""

    @staticmethod
    def forward(ctx: Any, value: Tensor, group: SequenceGroup) -> Tensor:
        ctx.group = group
        return group.all_reduced(value)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        return ctx.group.all_reduced(gradients[0]), None


class _Halo(torch.autograd.Function):
    """The last positions of the rank before; their gradients go back to it.

    `value` passes through, so that the backward pass reaches every rank, the first one too, whose halo nobody uses.
    """

    @staticmethod
    def forward(ctx: Any, value: Tensor, width: int, group: SequenceGroup) -> tuple[Tensor, Tensor]:
        ctx.width, ctx.group = width, group
        edges = group.gather_edges(value[:, -width:])
        return value.view_as(value), edges[group.rank - 1]

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None]:
        received, halo_gradient = gradients
        group: SequenceGroup = ctx.group
        edges = group.gather_edges(halo_gradient)
        if group.rank == group.size - 1:
            return received, None, None
        gradient = received.clone()
        gradient[:, -ctx.width :] += edges[group.rank + 1]
        return gradient, None, None
