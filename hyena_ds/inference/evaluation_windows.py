"""The windows that a model is evaluated on: of regions, side by side, the last one short."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from hyena_ds.data.windows import evenly_spaced
from hyena_ds.errors import InputError
from hyena_ds.genome.bed import place_bed
from hyena_ds.genome.interval import Interval
from hyena_ds.inference.genome_access import Genome

PUBLISHED = "published"
# The regions of the human genome (GRCh38) on which the published perplexities were measured.
PUBLISHED_REGIONS = (Interval("chr14", 19_726_402, 106_677_047), Interval("chrX", 2_825_622, 144_342_320))


@dataclass(frozen=True)
class EvaluationWindows:
    """Windows of `length` bases over `regions`, numbered from 0."""

    regions: tuple[Interval, ...]
    length: int

    @cached_property
    def firsts(self) -> np.ndarray:
        """The number of each region's first window, and that of all windows, int64 [regions + 1]."""
        counts = [-(-region.length // self.length) for region in self.regions]
        return np.cumsum([0, *counts])

    def __len__(self) -> int:
        return int(self.firsts[-1])

    def __getitem__(self, number: int) -> Interval:
        place = int(np.searchsorted(self.firsts, number, side="right")) - 1
        region = self.regions[place]
        start = region.start + (number - int(self.firsts[place])) * self.length
        return Interval(region.sequence, start, min(start + self.length, region.end))

    def chosen(self, limit: int | None) -> Iterator[Interval]:
        """All windows, or at most `limit` evenly spaced ones."""
        for number in evenly_spaced(len(self), len(self) if limit is None else limit).tolist():
            yield self[number]


def regions_of(genome: Genome, wanted: str | Path | Sequence[Interval] | None) -> tuple[Interval, ...]:
    """Regions of a genome: `published`, those of a BED file (of its test split, if it has splits), given ones, or all.

    Raises InputError where one does not lie in the genome.
    """
    if wanted is None:
        return tuple(Interval(name, 0, length) for name, length in genome.lengths.items())
    if wanted == PUBLISHED:
        return _published(genome)
    if isinstance(wanted, str | Path):
        lines = place_bed(Path(wanted), genome.lengths)
        tested = tuple(line.interval for line in lines if line.split == "test")
        return tested or tuple(line.interval for line in lines)
    return tuple(_placed(region, genome) for region in wanted)


def _placed(region: Interval, genome: Genome) -> Interval:
    """The region under the genome's own name of its sequence."""
    name = genome.name(region.sequence)
    region.check_within(genome.lengths[name])
    return Interval(name, region.start, region.end)


def _published(genome: Genome) -> tuple[Interval, ...]:
    try:
        return tuple(_placed(region, genome) for region in PUBLISHED_REGIONS)
    except InputError as error:
        raise InputError(
            f"the published test regions are of the human genome, and {genome.path} is another: {error}"
        ) from None
