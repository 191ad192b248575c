"""Read a shard directory back, every byte of it, and stop at the first lie."""

import hashlib
import json
import tarfile
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

import numpy as np

from hyena_ds.errors import InputError
from hyena_ds.genome.alphabet import BASES
from hyena_ds.genome.index import CRC_BLOCK_BYTES, Record, Sequence, Shard, ShardIndex, read_index
from hyena_ds.genome.index_check import check_index
from hyena_ds.genome.record import block_checksums
from hyena_ds.genome.runs import Runs, joined, runs_of, total

REMEDY = "copy the directory again or shard the genome again"


@dataclass(frozen=True)
class Stored:
    """A record of the index with the sequence it belongs to."""

    sequence_number: int
    sequence: Sequence
    record: Record

    @property
    def end(self) -> int:
        return self.record.start + self.record.length


@dataclass(frozen=True)
class ReadBack:
    """What the bytes of one record say, to hold against the index."""

    composition: Counter[str]
    n_runs: Runs
    soft_masked: int


def _lie(shard: Shard, text: str, key: str | None = None) -> NoReturn:
    place = shard.name if key is None else f"{shard.name} record {key}"
    raise InputError(f"{place}: {text}; {REMEDY}")


def _check_files(directory: Path, index: ShardIndex) -> None:
    present = {path.name for path in directory.glob("*.tar")}
    listed = [shard.name for shard in index.shards]
    for shard in index.shards:
        if shard.name not in present:
            _lie(shard, f"missing from {directory}")
    for name in sorted(present - set(listed)):
        raise InputError(f"{name}: not in the index of {directory}; remove it or shard the genome again")


def _check_size(directory: Path, shard: Shard) -> None:
    size = (directory / shard.name).stat().st_size
    if size != shard.bytes:
        cause = "truncated, or the index is" if size < shard.bytes else "the index is"
        _lie(shard, f"{size:,} bytes, the index says {shard.bytes:,}: {cause} from another directory")


def _members(path: Path, shard: Shard) -> list[tarfile.TarInfo]:
    try:
        with tarfile.open(path, "r:") as tar:
            return tar.getmembers()
    except (tarfile.TarError, EOFError, ValueError) as error:
        _lie(shard, f"no readable tar file ({error})")


def _check_members(members: list[tarfile.TarInfo], stored: list[Stored], shard: Shard) -> None:
    """The tar lists each record's json and bases, in order, where the index says; tarfile stops at a bad header."""
    for number, item in enumerate(stored):
        key = item.record.key
        pair = members[2 * number : 2 * number + 2]
        if [member.name for member in pair] != [f"{key}.json", f"{key}.seq"]:
            _lie(shard, "not found where the index says, or its tar header is damaged", key)
        if pair[1].offset_data != item.record.offset or pair[1].size != item.record.length:
            _lie(shard, "another offset or length in the tar file than in the index", key)
    if len(members) != 2 * len(stored):
        _lie(shard, f"holds {members[2 * len(stored)].name}, which the index does not know")


def _check_blocks(bases: memoryview, item: Stored, shard: Shard) -> None:
    for block, (found, listed) in enumerate(zip(block_checksums(bases), item.record.crc32, strict=True)):
        if found != listed:
            start = block * CRC_BLOCK_BYTES
            end = min(start + CRC_BLOCK_BYTES, item.record.length)
            _lie(shard, f"bases {start:,}-{end:,} of the record fail their CRC-32", item.record.key)


def _soft_masked(text: memoryview, item: Stored, index: ShardIndex, shard: Shard) -> int:
    source = index.sources[item.sequence.source]
    expected: dict[str, Any] = {
        "species": source.species,
        "assembly": source.assembly,
        "sequence": item.sequence.name,
        "start": item.record.start,
        "end": item.end,
    }
    try:
        about = json.loads(bytes(text))
        runs = [(int(start), int(end)) for start, end in about["soft_masked"]]
        told = {field: about[field] for field in expected}
    except (ValueError, KeyError, TypeError):
        _lie(shard, "its json member is damaged", item.record.key)
    if told != expected:
        _lie(shard, f"its json member says {told}, the index {expected}", item.record.key)
    edges = [item.record.start, *(edge for run in runs for edge in run), item.end]
    if edges != sorted(edges):
        _lie(shard, "its soft-masked runs are out of order or out of bounds", item.record.key)
    return total(runs)


def _read_back(
    content: memoryview, pair: list[tarfile.TarInfo], item: Stored, index: ShardIndex, shard: Shard
) -> ReadBack:
    bases = content[item.record.offset : item.record.offset + item.record.length]
    values = np.frombuffer(bases, dtype=np.uint8)
    counts = np.bincount(values, minlength=256)
    composition = Counter({base: int(counts[ord(base)]) for base in BASES})
    if composition.total() != item.record.length:
        _lie(shard, "holds characters other than A, C, G, T, N", item.record.key)
    text = content[pair[0].offset_data : pair[0].offset_data + pair[0].size]
    soft_masked = _soft_masked(text, item, index, shard)
    return ReadBack(composition, runs_of(values == ord("N"), item.record.start), soft_masked)


def _verify_shard(directory: Path, index: ShardIndex, number: int, stored: list[Stored]) -> Iterator[ReadBack]:
    shard, path = index.shards[number], directory / index.shards[number].name
    _check_size(directory, shard)
    content = memoryview(path.read_bytes())
    members = _members(path, shard)
    found = {member.name for member in members}
    for item in stored:
        if f"{item.record.key}.seq" in found:
            _check_blocks(content[item.record.offset : item.record.offset + item.record.length], item, shard)
    _check_members(members, stored, shard)
    read = [
        _read_back(content, members[2 * place : 2 * place + 2], item, index, shard) for place, item in enumerate(stored)
    ]
    if hashlib.sha256(content).hexdigest() != shard.sha256:
        _lie(shard, "SHA-256 differs from the index: bytes between the records changed")
    yield from read


def _stored(index: ShardIndex) -> list[list[Stored]]:
    shards: list[list[Stored]] = [[] for _ in index.shards]
    for number, sequence in enumerate(index.sequences):
        for record in sequence.records:
            shards[record.shard].append(Stored(number, sequence, record))
    return shards


def _check_sequence(sequence: Sequence, parts: list[ReadBack]) -> None:
    if joined(part.n_runs for part in parts) != sequence.n_runs:
        raise InputError(f"sequence {sequence.name}: the runs of N in the index are not those of its records; {REMEDY}")
    soft_masked = sum(part.soft_masked for part in parts)
    if soft_masked != sequence.soft_masked:
        raise InputError(
            f"sequence {sequence.name}: {soft_masked:,} soft-masked bases in its records, "
            f"{sequence.soft_masked:,} in the index; {REMEDY}"
        )


def _check_sources(index: ShardIndex, parts: dict[int, list[ReadBack]]) -> None:
    for number, source in enumerate(index.sources):
        places = [place for place, sequence in enumerate(index.sequences) if sequence.source == number]
        own = [part for place in places for part in parts[place]]
        composition: Counter[str] = sum((part.composition for part in own), Counter())
        if any(composition[base] != source.composition.get(base) for base in BASES):
            found = {base: composition[base] for base in BASES}
            raise InputError(f"{source.file}: its records hold {found}, the index says {source.composition}; {REMEDY}")
        soft_masked = sum(part.soft_masked for part in own)
        if soft_masked != source.soft_masked:
            raise InputError(
                f"{source.file}: {soft_masked:,} soft-masked bases in its records, "
                f"{source.soft_masked:,} in the index; {REMEDY}"
            )


def verify_shards(directory: Path, advance: Callable[[int], None] = lambda bases: None) -> ShardIndex:
    """Hold every byte of a shard directory against its index, and return that index.

    Raises InputError at the first disagreement, naming shard and record. `advance` takes the bases of each record
    that was read.
    """
    index = read_index(directory)
    check_index(index)
    _check_files(directory, index)
    parts: dict[int, list[ReadBack]] = {number: [] for number in range(len(index.sequences))}
    for number, stored in enumerate(_stored(index)):
        for item, read in zip(stored, _verify_shard(directory, index, number, stored), strict=True):
            parts[item.sequence_number].append(read)
            advance(item.record.length)
    for number, sequence in enumerate(index.sequences):
        _check_sequence(sequence, parts[number])
    _check_sources(index, parts)
    return index
