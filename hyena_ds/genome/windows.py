"""Windows per split at the lengths that will be used, and what the splits then share."""

from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import combinations
from typing import Literal

from hyena_ds.genome.index import Region, Sequence, ShardIndex
from hyena_ds.genome.interval import Interval
from hyena_ds.genome.splits import SPLITS, shared_bases

Policy = Literal["tile", "extend"]


@dataclass(frozen=True)
class WindowReport:
    """At one window `length` in bases (None: the regions as given): windows a split, bases shared by two splits.

    Windows of nothing but N are not counted, as no run reads them.
    """

    length: int | None
    windows: dict[str, int]
    shared: dict[tuple[str, str], int]


def _interval(region: Region) -> Interval:
    return Interval(str(region.sequence), region.start, region.end)


def _covered(index: ShardIndex, split: str, length: int | None) -> list[Interval]:
    """What the windows of a split cover; sequences go by number, since species may share names."""
    intervals = [_interval(region) for region in index.splits[split]]
    if length is None or index.policy == "tile":
        return intervals
    sizes = [index.sequences[region.sequence].length for region in index.splits[split]]
    return [interval.resized(length, size) for interval, size in zip(intervals, sizes, strict=True)]


def _n_runs_within(sequence: Sequence, interval: Interval) -> Iterator[tuple[int, int]]:
    """The runs of N that touch `interval`, cut to it and counted from its start."""
    first = bisect_right(sequence.n_runs, interval.start, key=lambda run: run[1])
    for start, end in sequence.n_runs[first:]:
        if start >= interval.end:
            return
        yield max(start, interval.start) - interval.start, min(end, interval.end) - interval.start


def _tiles(sequence: Sequence, region: Interval, length: int) -> int:
    """Windows of `length` side by side in `region`, the last one short, without those of nothing but N."""
    count = -(-region.length // length)
    unread = 0
    for start, end in _n_runs_within(sequence, region):
        first, stop = -(-start // length), count if end == region.length else end // length
        unread += max(0, stop - first)
    return count - unread


def _count(index: ShardIndex, split: str, length: int | None) -> int:
    covered = _covered(index, split, length)
    sequences = [index.sequences[region.sequence] for region in index.splits[split]]
    if length is not None and index.policy == "tile":
        return sum(_tiles(sequence, region, length) for sequence, region in zip(sequences, covered, strict=True))
    return sum(
        (0, window.length) not in _n_runs_within(sequence, window)
        for sequence, window in zip(sequences, covered, strict=True)
    )


def report_windows(index: ShardIndex, length: int | None) -> WindowReport:
    """What the splits of `index` become at windows of `length` bases."""
    covered = {split: _covered(index, split, length) for split in SPLITS}
    shared = {(left, right): shared_bases(covered[left], covered[right]) for left, right in combinations(SPLITS, 2)}
    return WindowReport(length, {split: _count(index, split, length) for split in SPLITS}, shared)
