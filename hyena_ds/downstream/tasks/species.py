"""Species classification: windows drawn from the genomes of several species, each a pure function of its number."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from pydantic import Field, model_validator

from hyena_ds.config.section import Section
from hyena_ds.data.order import random_bits
from hyena_ds.downstream.example import Example
from hyena_ds.downstream.genome_bases import GenomeBases
from hyena_ds.errors import InputError, listed
from hyena_ds.genome.fasta import FASTA_SUFFIXES, FastaReader, Say, bare_name, open_fasta
from hyena_ds.genome.interval import Interval
from hyena_ds.genome.names import canonical

SPLITS = ("train", "valid", "test")
# Shares of a chromosome cut by position, in the order of SPLITS; ends that are left out of a whole one.
POSITION_ENDS = {"train": (0.0, 0.8), "valid": (0.8, 0.9), "test": (0.9, 1.0)}
TAILS = {"train": 0.1, "valid": 0.2, "test": 0.2}
SPECIES_DRAW, CHROMOSOME_DRAW, START_DRAW = range(3)


class SpeciesConfig(Section):
    """Which windows are drawn of the folders of `data.train`, one a species.

    `names` are the folders in the order of the classes. Each split has so many `windows` of `length` bases; each is
    drawn once, so that one epoch of 200,000 is 200 epochs of the published 1,000. Chromosomes of
    `valid_chromosomes` and `test_chromosomes` validate and test. A species of one chromosome, and those of
    `by_position`, are cut instead: of each chromosome the first 80 % train, 10 % validate, 10 % test.
    `remove_tail_ends` leaves out 10 % (to validate and test 20 %) of both ends of whole chromosomes. Species are drawn
    by `species_weights` (by default alike), their chromosomes alike (`uniform`) or by their `bases`.
    """

    names: tuple[str, ...] = Field(min_length=2)
    length: int = Field(gt=0)
    windows: tuple[int, int, int] = (200_000, 1_000, 1_000)
    valid_chromosomes: tuple[str, ...] = ("1", "3", "12", "13")
    test_chromosomes: tuple[str, ...] = ("5", "7", "9", "10", "11")
    by_position: tuple[str, ...] = ()
    remove_tail_ends: bool = False
    species_weights: tuple[float, ...] | None = None
    chromosome_weights: Literal["uniform", "bases"] = "uniform"
    seed: int = Field(default=2222, ge=0)

    @model_validator(mode="after")
    def _names_and_numbers_fit(self) -> "SpeciesConfig":
        twice = {name for name in self.names if self.names.count(name) > 1}
        if twice:
            raise ValueError(f"names={list(self.names)} has {', '.join(sorted(twice))} twice")
        unknown = sorted(set(self.by_position) - set(self.names))
        if unknown:
            raise ValueError(f"by_position has {', '.join(unknown)}, which names={list(self.names)} does not")
        weights = self.species_weights
        if weights is not None and (len(weights) != len(self.names) or min(weights) <= 0):
            raise ValueError(f"species_weights={list(weights)} must hold a number above 0 for each of {self.names}")
        if min(self.windows) < 1:
            raise ValueError(f"windows={list(self.windows)} must be at least 1 to train, validate and test")
        return self


@dataclass(frozen=True)
class Chromosome:
    """A whole sequence, and the name that tells its split."""

    name: str
    reader: FastaReader
    whole: Interval


@dataclass(frozen=True)
class Stretch:
    """A stretch of a chromosome that windows of one split are drawn from."""

    reader: FastaReader
    interval: Interval
    weight: float


def read_species(directory: Path, config: SpeciesConfig, cache: Path, say: Say) -> Iterator[Example]:
    """The windows of all splits; a stretch shorter than a window is filled with N on its left, as published."""
    genomes = {name: _chromosomes(directory / name, cache, say) for name in config.names}
    for number, split in enumerate(SPLITS):
        stretches = [_stretches(name, genomes[name], split, config) for name in config.names]
        yield from _draw(stretches, number, config)


def _chromosomes(folder: Path, cache: Path, say: Say) -> list[Chromosome]:
    """All records of the folder's files, named by the file where it holds one alone.

    Public genomes hold a chromosome a file, chr1.fna, in a record named by its accession.
    """
    files = [path for path in _sorted_files(folder) if Path(path.name.removesuffix(".gz")).suffix in FASTA_SUFFIXES]
    if not files:
        raise InputError(f"no FASTA files in {folder}; give a folder for each of data.species.names")
    found = []
    for path in files:
        fasta = open_fasta(path, cache, say)
        reader, records = FastaReader(fasta), fasta.scan.sequences
        for record in records:
            name = bare_name(path) if len(records) == 1 else record.name
            found.append(Chromosome(name, reader, Interval(record.name, 0, record.length)))
    return found


def _sorted_files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if path.is_file()) if folder.is_dir() else []


def _stretches(species: str, chromosomes: Sequence[Chromosome], split: str, config: SpeciesConfig) -> list[Stretch]:
    by_position = len(chromosomes) == 1 or species in config.by_position
    kept = []
    for chromosome in chromosomes:
        whole = chromosome.whole
        if by_position:
            low, high = POSITION_ENDS[split]
        elif _split_of(chromosome.name, config) == split:
            tail = TAILS[split] if config.remove_tail_ends else 0.0
            low, high = tail, 1 - tail
        else:
            continue
        interval = Interval(whole.sequence, round(low * whole.length), round(high * whole.length))
        kept.append(
            Stretch(chromosome.reader, interval, interval.length if config.chromosome_weights == "bases" else 1.0)
        )
    if not kept:
        names = listed(chromosome.name for chromosome in chromosomes)
        raise InputError(
            f"{species} has no {split} chromosome among {names}; change data.species.{split}_chromosomes, or add it to "
            "data.species.by_position"
        )
    return kept


def _split_of(chromosome: str, config: SpeciesConfig) -> str:
    for split, names in (("test", config.test_chromosomes), ("valid", config.valid_chromosomes)):
        if canonical(chromosome) in map(canonical, names):
            return split
    return "train"


def _draw(stretches: Sequence[Sequence[Stretch]], split: int, config: SpeciesConfig) -> Iterator[Example]:
    numbers = np.arange(config.windows[split])
    species = _choose(config.species_weights or [1.0] * len(stretches), _uniform(config, SPECIES_DRAW, numbers, split))
    chromosome, start = (_uniform(config, draw, numbers, split) for draw in (CHROMOSOME_DRAW, START_DRAW))
    for number, chosen in enumerate(species.tolist()):
        several = stretches[chosen]
        stretch = several[int(_choose([one.weight for one in several], chromosome[number]))]
        bases = _window(stretch, config.length, float(start[number]))
        place = f"{config.names[chosen]} {bases.interval}"
        yield Example(bases, (config.names[chosen],), place, bases.interval, SPLITS[split])


def _uniform(config: SpeciesConfig, draw: int, numbers: np.ndarray, split: int) -> np.ndarray:
    """A number in [0, 1) for each window, whatever was drawn before it."""
    return (random_bits(config.seed, draw, numbers, split) >> np.uint64(11)) / 2.0**53


def _choose(weights: Sequence[float], uniform: np.ndarray) -> np.ndarray:
    ends = np.cumsum(weights)
    return np.searchsorted(ends / ends[-1], uniform, side="right")


def _window(stretch: Stretch, length: int, uniform: float) -> GenomeBases:
    whole = stretch.interval
    spare = whole.length - length
    if spare < 0:
        return GenomeBases(stretch.reader, whole, left=-spare)
    start = whole.start + int(uniform * (spare + 1))
    return GenomeBases(stretch.reader, Interval(whole.sequence, start, start + length))
