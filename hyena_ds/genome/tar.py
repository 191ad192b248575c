"""One shard: a tar file that any WebDataset reader opens, with the same bytes for the same input."""

import hashlib
import sys
import tarfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from hyena_ds.errors import InputError, StorageError
from hyena_ds.genome.fasta import FastaReader
from hyena_ds.genome.index import Record, Shard
from hyena_ds.genome.interval import Interval
from hyena_ds.genome.plan import PlannedGenome, PlannedRecord
from hyena_ds.genome.record import Bases, block_checksums, metadata, normalise
from hyena_ds.genome.runs import Runs, total
from hyena_ds.genome.workspace import sync

SHARD_PATTERN = "shard-%06d.tar"


@dataclass(frozen=True)
class WrittenRecord:
    """A record in its shard, with what the index will say of its sequence; counts in bases."""

    sequence: int
    record: Record
    n_runs: Runs
    soft_masked: int
    composition: dict[str, int]


@dataclass(frozen=True)
class WrittenShard:
    """A finished tar file."""

    shard: Shard
    records: tuple[WrittenRecord, ...]

    @property
    def bases(self) -> int:
        return sum(record.record.length for record in self.records)


class _TarWriter:
    """webdataset's ShardWriter, its clock, user and file opening taken over."""

    def __init__(self, directory: Path, number: int) -> None:
        from webdataset import ShardWriter  # noqa: PLC0415 - brings torch, which only writing needs

        self._files = ExitStack()

        # webdataset would open names through gopen, which runs `pipe:` names in a shell.
        def opener(name: str) -> IO[bytes]:
            return self._files.enter_context((directory / name).open("wb"))

        with ExitStack() as failed:
            failed.callback(self._files.close)
            self._writer: Any = ShardWriter(
                SHARD_PATTERN,
                maxcount=sys.maxsize,
                maxsize=sys.maxsize,
                start_shard=number,
                verbose=0,
                opener=opener,
                encoder=False,
                mtime=0,
                user="hyena_ds",
                group="hyena_ds",
                mode=0o644,
            )
            failed.pop_all()

    def __enter__(self) -> Any:
        return self._writer

    def __exit__(self, *error: object) -> None:
        with self._files:
            self._writer.close()


def _read(reader: FastaReader, record: PlannedRecord, place: Path) -> Bases:
    raw = reader.bases(Interval(record.name, record.start, record.start + record.length))
    if len(raw) != record.length:
        raise InputError(f"{place} changed while it was read; run again")
    return normalise(raw, record.start)


def _read_all(
    records: Sequence[PlannedRecord], genomes: Sequence[PlannedGenome]
) -> Iterator[tuple[PlannedRecord, Bases]]:
    for source in dict.fromkeys(record.source for record in records):
        with FastaReader(genomes[source].fasta) as reader:
            for record in records:
                if record.source == source:
                    yield record, _read(reader, record, genomes[source].genome.path)


def _sample(record: PlannedRecord, planned: PlannedGenome, bases: Bases) -> dict[str, str | bytes]:
    genome, end = planned.genome, record.start + record.length
    about = metadata(genome.species, genome.assembly, record.name, record.start, end, bases.soft_masked)
    return {"__key__": record.key, "seq": bases.stored, "json": about}


def _offsets(path: Path) -> dict[str, int]:
    """Where the bases of each record begin, by the reader that everybody has."""
    with tarfile.open(path, "r:") as tar:
        members = [member for member in tar if member.name.endswith(".seq")]
    return {member.name.removesuffix(".seq"): member.offset_data for member in members}


def _written(record: PlannedRecord, bases: Bases, offset: int, content: memoryview, path: Path) -> WrittenRecord:
    checksums = block_checksums(bases.stored)
    if block_checksums(content[offset : offset + record.length]) != checksums:
        raise StorageError(f"{path} record {record.key} reads back other than written; check the disk")
    entry = Record(
        key=record.key,
        shard=record.shard,
        offset=offset,
        start=record.start,
        length=record.length,
        crc32=checksums,
    )
    return WrittenRecord(record.sequence, entry, bases.n_runs, total(bases.soft_masked), bases.composition())


def _read_back(path: Path, pairs: Iterable[tuple[PlannedRecord, Bases]]) -> WrittenShard:
    offsets = _offsets(path)
    content = path.read_bytes()
    records = tuple(_written(record, bases, offsets[record.key], memoryview(content), path) for record, bases in pairs)
    return WrittenShard(Shard(name=path.name, bytes=len(content), sha256=hashlib.sha256(content).hexdigest()), records)


def write_shard(directory: Path, records: Sequence[PlannedRecord], genomes: Sequence[PlannedGenome]) -> WrittenShard:
    """Write the `records` of one shard to `directory`, wait for the disk and read them back by offset.

    Holds one shard in memory. Raises InputError where a FASTA file changed since its scan, StorageError where the
    disk gives back other bytes than it was given.
    """
    pairs = []
    with _TarWriter(directory, records[0].shard) as writer:
        for record, bases in _read_all(records, genomes):
            writer.write(_sample(record, genomes[record.source], bases))
            pairs.append((record, bases))
    path = directory / (SHARD_PATTERN % records[0].shard)
    sync(path)
    return _read_back(path, pairs)
