"""Windows per split at the lengths that will be used, and what the splits then share."""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import combinations
from typing import Literal

from hyena_ds.genome.interval import Interval
from hyena_ds.genome.splits import SPLITS, Splits, shared_bases

Policy = Literal["tile", "extend"]


@dataclass(frozen=True)
class WindowReport:
    """At one window `length` in bases (None: the intervals as given): windows a split, bases shared by two splits."""

    length: int | None
    windows: dict[str, int]
    shared: dict[tuple[str, str], int]


def _covered(
    intervals: list[Interval], length: int | None, policy: Policy, lengths: Mapping[str, int]
) -> list[Interval]:
    if length is None or policy == "tile":
        return intervals
    return [interval.resized(length, lengths[interval.sequence]) for interval in intervals]


def _count(intervals: list[Interval], length: int | None, policy: Policy) -> int:
    if length is None or policy == "extend":
        return len(intervals)
    return sum(-(-interval.length // length) for interval in intervals)


def report_windows(splits: Splits, length: int | None, policy: Policy, lengths: Mapping[str, int]) -> WindowReport:
    """What the splits of a genome whose sequences have `lengths` bases become at windows of `length` bases."""
    covered = {split: _covered(splits[split], length, policy, lengths) for split in SPLITS}
    shared = {(left, right): shared_bases(covered[left], covered[right]) for left, right in combinations(SPLITS, 2)}
    windows = {split: _count(splits[split], length, policy) for split in SPLITS}
    return WindowReport(length, windows, shared)
