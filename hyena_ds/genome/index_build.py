"""The index of finished shards, put together from what each of them said."""

from collections import Counter
from collections.abc import Sequence

from hyena_ds.errors import InputError
from hyena_ds.genome import index as index_types
from hyena_ds.genome.index import Region, ShardIndex, Source
from hyena_ds.genome.plan import PlannedGenome
from hyena_ds.genome.runs import joined
from hyena_ds.genome.splits import SPLITS
from hyena_ds.genome.tar import WrittenRecord, WrittenShard
from hyena_ds.genome.windows import Policy


def _by_sequence(written: Sequence[WrittenRecord], count: int) -> list[list[WrittenRecord]]:
    sequences: list[list[WrittenRecord]] = [[] for _ in range(count)]
    for record in written:
        sequences[record.sequence].append(record)
    return sequences


def _sequence(source: int, name: str, length: int, written: Sequence[WrittenRecord]) -> index_types.Sequence:
    return index_types.Sequence(
        source=source,
        name=name,
        length=length,
        records=tuple(piece.record for piece in written),
        n_runs=joined(piece.n_runs for piece in written),
        soft_masked=sum(piece.soft_masked for piece in written),
    )


def _source(planned: PlannedGenome, written: Sequence[WrittenRecord]) -> Source:
    scan, genome = planned.fasta.scan, planned.genome
    counted: Counter[str] = Counter()
    for record in written:
        counted.update(record.composition)
    soft_masked = sum(record.soft_masked for record in written)
    if soft_masked != scan.soft_masked or any(counted[base] != count for base, count in scan.composition.items()):
        raise InputError(f"{genome.path} changed while it was read; run again")
    return Source(
        species=genome.species,
        assembly=genome.assembly,
        file=genome.path.name,
        sha256=scan.sha256,
        composition=scan.composition,
        soft_masked=soft_masked,
    )


def _regions(genomes: Sequence[PlannedGenome], split: str) -> tuple[Region, ...]:
    names = [(source, name) for source, planned in enumerate(genomes) for name in planned.lengths]
    numbers = {pair: number for number, pair in enumerate(names)}
    return tuple(
        Region(sequence=numbers[source, interval.sequence], start=interval.start, end=interval.end)
        for source, planned in enumerate(genomes)
        for interval in planned.splits[split]
    )


def build_index(policy: Policy, genomes: Sequence[PlannedGenome], shards: Sequence[WrittenShard]) -> ShardIndex:
    """The index of finished `shards`, given in order; raises InputError where a FASTA file changed since its scan."""
    scanned = [(source, found) for source, planned in enumerate(genomes) for found in planned.fasta.scan.sequences]
    written = _by_sequence([record for shard in shards for record in shard.records], len(scanned))
    by_source: list[list[WrittenRecord]] = [[] for _ in genomes]
    for (source, _), records in zip(scanned, written, strict=True):
        by_source[source] += records
    return ShardIndex(
        policy=policy,
        sources=tuple(_source(planned, records) for planned, records in zip(genomes, by_source, strict=True)),
        shards=tuple(shard.shard for shard in shards),
        sequences=tuple(
            _sequence(source, found.name, found.length, records)
            for (source, found), records in zip(scanned, written, strict=True)
        ),
        splits={split: _regions(genomes, split) for split in SPLITS},
    )
