"""Runs: the stretches of a sequence where something holds, as 0-based half-open [start, end) pairs."""

from collections.abc import Iterable

import numpy as np

Runs = tuple[tuple[int, int], ...]


def runs_of(mask: np.ndarray, start: int = 0) -> Runs:
    """The runs of True in a boolean mask whose first element is base `start`."""
    edges = np.flatnonzero(np.diff(mask.view(np.int8), prepend=0, append=0)) + start
    return tuple(zip(edges[0::2].tolist(), edges[1::2].tolist(), strict=True))


def joined(parts: Iterable[Runs]) -> Runs:
    """Runs of neighbouring stretches, in order, as one: those that touch become one run."""
    runs: list[tuple[int, int]] = []
    for start, end in (run for part in parts for run in part):
        if runs and runs[-1][1] == start:
            runs[-1] = (runs[-1][0], end)
        else:
            runs.append((start, end))
    return tuple(runs)


def total(runs: Iterable[tuple[int, int]]) -> int:
    """Bases in runs that do not overlap."""
    return sum(end - start for start, end in runs)
