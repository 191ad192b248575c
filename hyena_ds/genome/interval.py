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
        """The window of `length` bases on the same centre: extended on both sides, or cut on both sides.

        The right side takes the odd base of an extension. Beyond an end of the sequence the window is shifted
        inside; it is shorter than `length` only where the sequence is. This is the window that `hyena_ds/data` reads
        under policy extend; the published code keeps the first bases of a longer interval and cuts at the ends.
        """
        self.check_within(sequence_length)
        spare = self.length - length
        start = self.start + spare // 2 if spare > 0 else self.start - (-spare // 2)
        start = min(max(start, 0), max(sequence_length - length, 0))
        return Interval(self.sequence, start, min(start + length, sequence_length))
