"""What to shard and how: the user's request, and the layout that follows from it before any base is read."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from hyena_ds.errors import InputError
from hyena_ds.genome.bed import place_bed
from hyena_ds.genome.fasta import Fasta, bare_name
from hyena_ds.genome.names import near_names, resolve
from hyena_ds.genome.splits import (
    DEFAULT_FRACTIONS,
    SPLITS,
    SplitFractions,
    Splits,
    merged,
    split_by_bed,
    split_by_chromosome,
    split_by_fraction,
)
from hyena_ds.genome.windows import Policy

RECORD_BASES = 2**22
SHARD_BASES = 2**25


@dataclass(frozen=True)
class Genome:
    """One FASTA file with the names it goes by (from its file name where none are given) and perhaps a BED file."""

    path: Path
    species: str = ""
    assembly: str = ""
    bed: Path | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "species", self.species or bare_name(self.path))
        object.__setattr__(self, "assembly", self.assembly or bare_name(self.path))


@dataclass(frozen=True)
class ShardPlan:
    """A request to `shard_genome`; `ShardPlan.of(path)` has every default.

    Splits come from each genome's BED file, else from the chromosomes named, else from `fractions`. `policy` is
    extend where BED files are given, else tile. `record_bases` and `shard_bases` bound one record and one tar file.
    `cache` keeps indexes and decompressed copies; by default `.fasta_cache` beside the output.
    """

    genomes: tuple[Genome, ...]
    fractions: SplitFractions = field(default_factory=lambda: SplitFractions(*DEFAULT_FRACTIONS))
    valid_chromosomes: tuple[str, ...] = ()
    test_chromosomes: tuple[str, ...] = ()
    policy: Policy | None = None
    record_bases: int = RECORD_BASES
    shard_bases: int = SHARD_BASES
    cache: Path | None = None

    def __post_init__(self) -> None:
        if not self.genomes:
            raise InputError("no FASTA file given; name at least one")
        if self.record_bases < 1 or self.shard_bases < self.record_bases:
            raise InputError(
                f"record_bases {self.record_bases:,} must be at least 1 and at most shard_bases {self.shard_bases:,}"
            )
        without_bed = [genome for genome in self.genomes if genome.bed is None]
        if self.resolved_policy == "extend" and without_bed:
            name = without_bed[0].path.name
            raise InputError(f"policy extend needs intervals, {name} has no BED file; give one or use policy tile")
        if not without_bed and self.chromosomes:
            raise InputError("the BED file says the split; leave out the valid and test chromosomes")

    @classmethod
    def of(cls, *paths: Path) -> "ShardPlan":
        """The plan with every default for the FASTA files at `paths`."""
        return cls(tuple(Genome(path) for path in paths))

    @property
    def resolved_policy(self) -> Policy:
        if self.policy is not None:
            return self.policy
        return "extend" if any(genome.bed for genome in self.genomes) else "tile"

    @property
    def chromosomes(self) -> tuple[str, ...]:
        """Names given for the valid and test splits."""
        return self.valid_chromosomes + self.test_chromosomes


@dataclass(frozen=True)
class PlannedGenome:
    """A scanned genome and its intervals by split."""

    genome: Genome
    fasta: Fasta
    splits: Splits

    @property
    def lengths(self) -> dict[str, int]:
        """Bases by sequence name."""
        return {sequence.name: sequence.length for sequence in self.fasta.scan.sequences}


@dataclass(frozen=True)
class PlannedRecord:
    """`length` bases from `start` of sequence number `sequence`, counted over all genomes."""

    key: str
    shard: int
    source: int
    sequence: int
    name: str
    start: int
    length: int


def _check_distinct(plan: ShardPlan, fastas: Sequence[Fasta]) -> None:
    seen: dict[tuple[str, str], Path] = {}
    for genome, fasta in zip(plan.genomes, fastas, strict=True):
        for sequence in fasta.scan.sequences:
            other = seen.setdefault((genome.species, sequence.name), genome.path)
            if other is not genome.path:
                raise InputError(
                    f"{genome.species} has sequence {sequence.name!r} in both {other} and {genome.path}; "
                    "give each file its species: --fasta human=hg38.fa --fasta mouse=mm10.fa"
                )


def _names_for(genome: Genome, fasta: Fasta, wanted: Sequence[str]) -> list[str]:
    """Those of `wanted` that this genome has; `species:name` asks for one species."""
    known = [sequence.name for sequence in fasta.scan.sequences]
    found = []
    for name in wanted:
        bare = name.removeprefix(f"{genome.species}:")
        try:
            found.append(resolve(bare, known))
        except InputError as error:
            if "may mean" in str(error):
                raise
    return found


def _check_chromosomes(plan: ShardPlan, fastas: Sequence[Fasta]) -> None:
    for name in plan.chromosomes:
        pairs = zip(plan.genomes, fastas, strict=True)
        if not any(_names_for(genome, fasta, [name]) for genome, fasta in pairs):
            known = [sequence.name for fasta in fastas for sequence in fasta.scan.sequences]
            raise InputError(f"no sequence {name!r}; near names are {near_names(name, known)}")


def _species_lengths(plan: ShardPlan, fastas: Sequence[Fasta], species: str) -> dict[str, int]:
    """Bases by sequence name in all files of a species; its BED file may speak of any."""
    return {
        sequence.name: sequence.length
        for genome, fasta in zip(plan.genomes, fastas, strict=True)
        if genome.species == species
        for sequence in fasta.scan.sequences
    }


def _bed_splits(plan: ShardPlan, fastas: Sequence[Fasta], genome: Genome, bed: Path, own: dict[str, int]) -> Splits:
    splits = split_by_bed(place_bed(bed, _species_lengths(plan, fastas, genome.species)))
    return {split: [interval for interval in splits[split] if interval.sequence in own] for split in SPLITS}


def _in_file_order(splits: Splits, lengths: dict[str, int]) -> Splits:
    order = {name: position for position, name in enumerate(lengths)}
    return {
        split: sorted(merged(splits[split]), key=lambda interval: (order[interval.sequence], interval.start))
        for split in SPLITS
    }


def _splits(plan: ShardPlan, fastas: Sequence[Fasta], genome: Genome, fasta: Fasta) -> Splits:
    lengths = {sequence.name: sequence.length for sequence in fasta.scan.sequences}
    if genome.bed is not None:
        splits = _bed_splits(plan, fastas, genome, genome.bed, lengths)
        return splits if plan.resolved_policy == "extend" else _in_file_order(splits, lengths)
    if plan.chromosomes:
        valid = _names_for(genome, fasta, plan.valid_chromosomes)
        return split_by_chromosome(lengths, valid, _names_for(genome, fasta, plan.test_chromosomes))
    return split_by_fraction(lengths, plan.fractions)


def plan_genomes(plan: ShardPlan, fastas: Sequence[Fasta]) -> tuple[PlannedGenome, ...]:
    """The genomes of a plan with their splits; raises InputError where names or intervals do not fit."""
    _check_distinct(plan, fastas)
    _check_chromosomes(plan, fastas)
    return tuple(
        PlannedGenome(genome, fasta, _splits(plan, fastas, genome, fasta))
        for genome, fasta in zip(plan.genomes, fastas, strict=True)
    )


def _pieces(genomes: Sequence[PlannedGenome], record_bases: int) -> Iterator[PlannedRecord]:
    number = 0
    for source, planned in enumerate(genomes):
        for scanned in planned.fasta.scan.sequences:
            for start in range(0, scanned.length, record_bases):
                length = min(record_bases, scanned.length - start)
                yield PlannedRecord("", 0, source, number, scanned.name, start, length)
            number += 1


def plan_records(genomes: Sequence[PlannedGenome], plan: ShardPlan) -> tuple[PlannedRecord, ...]:
    """Every record in the order of the files, filled into shards of at most `shard_bases` bases."""
    records: list[PlannedRecord] = []
    shard = filled = 0
    for number, piece in enumerate(_pieces(genomes, plan.record_bases)):
        if filled and filled + piece.length > plan.shard_bases:
            shard, filled = shard + 1, 0
        filled += piece.length
        records.append(replace(piece, key=f"{number:09d}", shard=shard))
    return tuple(records)
