"""Windows of one length over the regions of a split, computed from the index alone."""

import numpy as np

from hyena_ds.errors import InputError
from hyena_ds.genome.index import Region, ShardIndex


class WindowSet:
    """The windows of `length` bases of a split, numbered from 0; memory is O(regions), not O(windows).

    Policy `tile` cuts each region into windows side by side, the last one short. Policy `extend` centres one window
    on each region, extends or cuts it to the length, and shifts it inside the chromosome; it is shorter only where
    the chromosome is. Windows of nothing but N are left out and counted in `dropped`.

    Raises InputError for a split, species or policy that the index does not hold. A set may be empty.
    """

    def __init__(self, index: ShardIndex, split: str, length: int, species: str | None = None) -> None:
        self.length, self.dropped = length, 0
        self._index = index
        regions = _regions(index, split, species)
        match index.policy:
            case "tile":
                pieces = [self._tile(region) for region in regions]
            case "extend":
                pieces = self._extend(regions)
            case policy:
                raise InputError(f"the shard index has window policy {policy!r}; this version knows tile and extend")
        # One column a stretch of windows side by side: sequence, first base, end of the last window, windows.
        stretches = np.concatenate([np.empty((4, 0), dtype=np.int64), *pieces], axis=1)
        self._sequence, self._start, self._end, counts = stretches[:, stretches[3] > 0]
        self._first = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)

    def __len__(self) -> int:
        return int(self._first[-1])

    def bounds(self, windows: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Sequence number, start and end (0-based, half-open) of `windows` [n] int64; three int64 arrays [n]."""
        if windows.size and not 0 <= windows.min() <= windows.max() < len(self):
            raise IndexError(f"windows must lie in [0, {len(self)}), found {windows.min()} to {windows.max()}")
        stretch = np.searchsorted(self._first, windows, side="right") - 1
        start = self._start[stretch] + (windows - self._first[stretch]) * self.length
        return self._sequence[stretch], start, np.minimum(start + self.length, self._end[stretch])

    def _n_runs(self, sequence: int) -> np.ndarray:
        return np.array(self._index.sequences[sequence].n_runs, dtype=np.int64).reshape(-1, 2)

    def _tile(self, region: Region) -> np.ndarray:
        """The stretches of a region between the windows that lie inside a run of N, int64 [4, stretches]."""
        length, count = self.length, -(-(region.end - region.start) // self.length)
        runs = self._n_runs(region.sequence)
        runs = runs[(runs[:, 1] > region.start) & (runs[:, 0] < region.end)]
        first = -(-np.maximum(runs[:, 0] - region.start, 0) // length)
        last = np.where(runs[:, 1] >= region.end, count, (runs[:, 1] - region.start) // length)
        whole = first < last  # runs that hold a window
        first, last = first[whole], last[whole]
        self.dropped += int((last - first).sum())
        begin, stop = np.append(0, last), np.append(first, count)
        end = np.minimum(region.start + stop * length, region.end)
        return np.stack([np.full_like(begin, region.sequence), region.start + begin * length, end, stop - begin])

    def _extend(self, regions: list[Region]) -> list[np.ndarray]:
        """One stretch of one window a region, [4, regions] int64 a sequence-ordered piece."""
        table = np.array([(r.sequence, r.start, r.end) for r in regions], dtype=np.int64).reshape(-1, 3)
        sequence, start, end = table.T
        spare = end - start - self.length
        start = start + np.sign(spare) * (np.abs(spare) // 2)
        size = np.array([found.length for found in self._index.sequences], dtype=np.int64)[sequence]
        start = np.clip(start, 0, np.maximum(size - self.length, 0))
        end = np.minimum(start + self.length, size)
        kept = ~self._inside_n(sequence, start, end)
        self.dropped += int((~kept).sum())
        return [np.stack([sequence, start, end, kept.astype(np.int64)])]

    def _inside_n(self, sequence: np.ndarray, start: np.ndarray, end: np.ndarray) -> np.ndarray:
        inside = np.zeros(len(sequence), dtype=bool)
        for number in np.unique(sequence):
            runs = self._n_runs(int(number))
            if len(runs):
                chosen = np.flatnonzero(sequence == number)
                run = np.searchsorted(runs[:, 0], start[chosen], side="right") - 1
                inside[chosen] = (run >= 0) & (end[chosen] <= runs[run, 1])
        return inside


def _regions(index: ShardIndex, split: str, species: str | None) -> list[Region]:
    if split not in index.splits:
        raise InputError(f"the shard index has no split {split!r}; it has {', '.join(sorted(index.splits)) or 'none'}")
    if species is None:
        return list(index.splits[split])
    if species not in index.species():
        raise InputError(f"the shard index has no species {species!r}; it has {', '.join(index.species())}")
    sources = {number for number, source in enumerate(index.sources) if source.species == species}
    return [region for region in index.splits[split] if index.sequences[region.sequence].source in sources]


def evenly_spaced(count: int, limit: int) -> np.ndarray:
    """At most `limit` of the numbers [0, count), the middles of equal parts, int64, ascending."""
    chosen = min(count, limit)
    return (2 * np.arange(chosen, dtype=np.int64) + 1) * count // (2 * max(chosen, 1))


def validation_windows(
    index: ShardIndex, split: str, length: int, limit: int
) -> dict[str, tuple[WindowSet, np.ndarray]]:
    """The fixed windows that score a model: for each species its windows and at most `limit` evenly spaced numbers.

    Species without a window in the split are left out. Raises InputError where no species has one.
    """
    scored = {}
    for species in index.species():
        windows = WindowSet(index, split, length, species)
        if len(windows):
            scored[species] = (windows, evenly_spaced(len(windows), limit))
    if not scored:
        raise InputError(f"the {split} split holds no window with a base; shard the genome again with a larger one")
    return scored
