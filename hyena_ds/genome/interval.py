"""A stretch of one sequence: 0-based and half-open, once and for all."""

from dataclasses import dataclass

from hyena_ds.errors import InputError


@dataclass(frozen=True, order=True)
class Interval:
    """Bases [start, end) of the sequence named `sequence`; raises InputError where that is no stretch of bases."""

    sequence: str
    start: int
    end: int

    def __post_init__(self) -> None:
        if not self.sequence:
            raise InputError(f"interval {self.start:,}-{self.end:,} names no sequence")
        if self.start < 0:
            raise InputError(f"{self} starts before the sequence; starts count from 0")
        if self.end <= self.start:
            raise InputError(f"{self} ends at or before its start; intervals are half-open [start, end)")

    def __str__(self) -> str:
        return f"{self.sequence}:{self.start:,}-{self.end:,}"

    @property
    def length(self) -> int:
        """Bases."""
        return self.end - self.start

    def overlap(self, other: "Interval") -> int:
        """Bases that both hold."""
        if self.sequence != other.sequence:
            return 0
        return max(0, min(self.end, other.end) - max(self.start, other.start))

    def check_within(self, sequence_length: int) -> None:
        """Raise InputError where the interval ends beyond a sequence of `sequence_length` bases."""
        if self.end > sequence_length:
            raise InputError(f"{self} ends beyond {self.sequence}, which has {sequence_length:,} bases")

    def resized(self, length: int, sequence_length: int) -> "Interval":
        """The window of the published recipe: centred and extended, or cut to the first `length` bases.

        The left side gets the smaller half of an odd extension. At an end of the sequence the window is cut,
        not shifted, so it may be shorter than `length`. Source: HyenaDNA, `hg38_dataset.py`.
        """
        self.check_within(sequence_length)
        missing = length - self.length
        if missing <= 0:
            return Interval(self.sequence, self.start, self.start + length)
        left = missing // 2
        start, end = self.start - left, self.end + missing - left
        return Interval(self.sequence, max(0, start), min(end, sequence_length))
