"""The windows that a model is evaluated on: of regions, side by side, the last one short."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
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

    @property
    def counts(self) -> np.ndarray:
        """Windows of each region, int64."""
        return np.array([-(-region.length // self.length) for region in self.regions], dtype=np.int64)

    def __len__(self) -> int:
        return int(self.counts.sum())

    def __getitem__(self, number: int) -> Interval:
        ends = self.counts.cumsum()
        place = int(np.searchsorted(ends, number, side="right"))
        region = self.regions[place]
        start = region.start + (number - int(ends[place] - self.counts[place])) * self.length
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
    for region in wanted:
        genome.bases(Interval(genome.name(region.sequence), region.end - 1, region.end))
    return tuple(Interval(genome.name(region.sequence), region.start, region.end) for region in wanted)


def _published(genome: Genome) -> tuple[Interval, ...]:
    regions = []
    for region in PUBLISHED_REGIONS:
        try:
            name = genome.name(region.sequence)
            region.check_within(genome.lengths[name])
        except InputError as error:
            raise InputError(
                f"the published test regions are of the human genome, and {genome.path} is another: {error}"
            ) from None
        regions.append(Interval(name, region.start, region.end))
    return tuple(regions)
