"""Which part of each sequence a process holds: here alone the model knows of ranks."""

from collections.abc import Callable
from typing import Protocol

from torch import Tensor


class SequencePart(Protocol):
    """The contiguous slice `rank` of `size` equal slices; all ranks of a group call the same methods in one order."""

    rank: int
    size: int

    def with_halo(self, value: Tensor, width: int) -> tuple[Tensor, Tensor | None]:
        """`value` [B, L/P, ...] and the `width` positions before it [B, width, ...]; None before the sequence."""

    def to_channels(self, value: Tensor) -> Callable[[], Tensor]:
        """Send slices [B, D, L/P], receive this rank's D/P channels, whole: [B, D/P, P, L/P]."""

    def to_sequence(self, value: Tensor) -> Callable[[], Tensor]:
        """Send whole channels [B, D/P, P, L/P], receive the slice of every rank's: [B, P, D/P, L/P]."""

    def summed(self, value: Tensor) -> Tensor:
        """The sum of every rank's `value`, on each of them."""


class WholeSequence:
    """The only part: nothing travels."""

    rank, size = 0, 1

    def with_halo(self, value: Tensor, width: int) -> tuple[Tensor, Tensor | None]:
        return value, None

    def to_channels(self, value: Tensor) -> Callable[[], Tensor]:
        return lambda: value[:, :, None]

    def to_sequence(self, value: Tensor) -> Callable[[], Tensor]:
        return lambda: value.transpose(1, 2)

    def summed(self, value: Tensor) -> Tensor:
        return value


def own_positions(sequence: SequencePart, value: Tensor) -> Tensor:
    """Of `value` [B, L, ...] the contiguous share [B, L/P, ...] that this rank holds."""
    share = value.shape[1] // sequence.size
    return value.narrow(1, sequence.rank * share, share)


def own_channels(sequence: SequencePart, channels: int) -> slice:
    """Of `channels` the contiguous share that this rank convolves."""
    share = channels // sequence.size
    return slice(sequence.rank * share, (sequence.rank + 1) * share)
