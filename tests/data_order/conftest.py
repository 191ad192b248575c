"""Tiny shard directories, written with tarfile so that these tests need no writer but the standard library's."""

import io
import tarfile
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from hyena_ds.genome.index import (
    CRC_BLOCK_BYTES,
    INDEX_NAME,
    Record,
    Region,
    Sequence,
    Shard,
    ShardIndex,
    Source,
    write_index,
)

RECORD_LENGTH = 150_000  # above two CRC blocks, so that windows cross blocks and records


@dataclass(frozen=True)
class TinyGenome:
    """A shard directory and what was put into it."""

    directory: Path
    index: ShardIndex
    bases: list[bytes]


def _random_bases(length: int, seed: int, n_runs: tuple[tuple[int, int], ...] = ()) -> bytes:
    bases = np.frombuffer(b"ACGT", dtype=np.uint8)[np.random.default_rng(seed).integers(0, 4, length)].copy()
    for start, end in n_runs:
        bases[start:end] = ord("N")
    return bases.tobytes()


def _n_runs_of(bases: bytes) -> tuple[tuple[int, int], ...]:
    is_n = np.frombuffer(bases, dtype=np.uint8) == ord("N")
    edges = np.flatnonzero(np.diff(np.concatenate([[0], is_n.view(np.int8), [0]])))
    return tuple((int(start), int(end)) for start, end in edges.reshape(-1, 2))


def _block_checksums(bases: bytes) -> tuple[int, ...]:
    return tuple(zlib.crc32(bases[at : at + CRC_BLOCK_BYTES]) for at in range(0, len(bases), CRC_BLOCK_BYTES))


def _write_shard(path: Path, bases: bytes, first_key: int) -> list[Record]:
    """One tar file that holds `bases` in records of RECORD_LENGTH; the records as they lie in it."""
    with tarfile.open(path, "w") as tar:
        for number, start in enumerate(range(0, len(bases), RECORD_LENGTH)):
            part = bases[start : start + RECORD_LENGTH]
            member = tarfile.TarInfo(f"{first_key + number:09d}.seq")
            member.size = len(part)
            tar.addfile(member, io.BytesIO(part))
    with tarfile.open(path) as tar:
        members = tar.getmembers()
    records, start = [], 0
    for member in members:
        part = bases[start : start + member.size]
        records.append(
            Record(
                key=member.name.removesuffix(".seq"),
                shard=0,
                offset=member.offset_data,
                start=start,
                length=member.size,
                crc32=_block_checksums(part),
            )
        )
        start += member.size
    return records


def _write_genome(
    directory: Path,
    bases: list[bytes],
    *,
    species: list[str] | None = None,
    regions: Mapping[str, list[tuple[int, int, int]]] | None = None,
    policy: str = "tile",
) -> TinyGenome:
    """Each sequence in a shard of its own; without `regions` all of it is the train split."""
    directory.mkdir(parents=True)
    names = species or ["test"] * len(bases)
    kinds = list(dict.fromkeys(names))
    shards, sequences = [], []
    for number, sequence in enumerate(bases):
        path = directory / f"shard-{number:06d}.tar"
        records = _write_shard(path, sequence, first_key=100 * number)
        shards.append(Shard(name=path.name, bytes=path.stat().st_size, sha256=""))
        sequences.append(
            Sequence(
                source=kinds.index(names[number]),
                name=f"chr{number + 1}",
                length=len(sequence),
                records=tuple(record.model_copy(update={"shard": number}) for record in records),
                n_runs=_n_runs_of(sequence),
                soft_masked=0,
            )
        )
    splits = regions or {"train": [(number, 0, len(sequence)) for number, sequence in enumerate(bases)]}
    index = ShardIndex(
        policy=policy,
        sources=tuple(
            Source(species=kind, assembly="tiny", file=f"{kind}.fa", sha256="", composition={}, soft_masked=0)
            for kind in kinds
        ),
        shards=tuple(shards),
        sequences=tuple(sequences),
        splits={
            split: tuple(Region(sequence=sequence, start=start, end=end) for sequence, start, end in places)
            for split, places in splits.items()
        },
    )
    write_index(index, directory / INDEX_NAME)
    return TinyGenome(directory, index, bases)


@pytest.fixture(scope="session")
def random_bases() -> Callable[..., bytes]:
    """(length, seed, runs of N) → bases."""
    return _random_bases


@pytest.fixture
def write_genome(tmp_path: Path) -> Callable[..., TinyGenome]:
    """(name, bases, species, regions, policy) → shards in a directory of that name."""
    return lambda name, bases, **options: _write_genome(tmp_path / name, bases, **options)


@pytest.fixture(scope="session")
def genome(tmp_path_factory: pytest.TempPathFactory) -> TinyGenome:
    """Two chromosomes of 400,123 and 50,001 bases, the first with N at its begin, middle and end."""
    runs = ((0, 10_000), (200_000, 200_700), (395_000, 400_123))
    bases = [_random_bases(400_123, 1, runs), _random_bases(50_001, 2)]
    return _write_genome(tmp_path_factory.mktemp("shards") / "genome", bases)
