"""Whether a shard index agrees with itself, before any shard is opened."""

import re
from collections.abc import Iterable
from itertools import pairwise

from hyena_ds.errors import InputError
from hyena_ds.genome.index import CRC_BLOCK_BYTES, INDEX_NAME, Region, Sequence, ShardIndex
from hyena_ds.genome.splits import SPLITS

SHARD_NAME = re.compile(r"shard-\d{6,}\.tar")
POLICIES = ("tile", "extend")


def _lie(text: str) -> InputError:
    return InputError(f"{INDEX_NAME}: {text}; shard the genome again")


def _check_names(index: ShardIndex) -> None:
    names = [shard.name for shard in index.shards]
    for name in names:
        if not SHARD_NAME.fullmatch(name) or names.count(name) > 1:
            raise _lie(f"{name!r} is no shard name, or stands twice")
    if index.policy not in POLICIES:
        raise _lie(f"policy {index.policy!r} is neither tile nor extend")
    if set(index.splits) != set(SPLITS):
        raise _lie(f"splits {sorted(index.splits)} are not train, valid and test")


def _check_records(index: ShardIndex, sequence: Sequence, seen: set[str]) -> None:
    position = 0
    for record in sequence.records:
        if record.shard >= len(index.shards):
            raise _lie(f"record {record.key} is in shard {record.shard}, there are {len(index.shards)}")
        place = f"{index.shards[record.shard].name} record {record.key}"
        if record.key in seen:
            raise _lie(f"{place} stands twice")
        seen.add(record.key)
        if record.start != position:
            kind = "overlaps" if record.start < position else "leaves a gap after"
            raise _lie(f"{place} starts at {record.start:,} of {sequence.name} and {kind} base {position:,}")
        position += record.length
        if len(record.crc32) != -(-record.length // CRC_BLOCK_BYTES):
            raise _lie(f"{place} has {len(record.crc32)} checksums for {record.length:,} bases")
        if record.offset + record.length > index.shards[record.shard].bytes:
            raise _lie(f"{place} ends beyond its shard")
    if position != sequence.length:
        raise _lie(f"records of {sequence.name} end at {position:,}, the sequence at {sequence.length:,}")


def _check_sequence(index: ShardIndex, sequence: Sequence, seen: set[str]) -> None:
    if sequence.source >= len(index.sources):
        raise _lie(f"sequence {sequence.name} is of source {sequence.source}, there are {len(index.sources)}")
    _check_records(index, sequence, seen)
    edges = [0, *(edge for run in sequence.n_runs for edge in run), sequence.length]
    if edges != sorted(edges):
        raise _lie(f"runs of N in {sequence.name} are out of order or out of bounds")


def _check_region(index: ShardIndex, split: str, region: Region) -> None:
    if region.sequence >= len(index.sequences):
        raise _lie(f"a {split} region is on sequence {region.sequence}, there are {len(index.sequences)}")
    sequence = index.sequences[region.sequence]
    if not region.start < region.end <= sequence.length:
        place = f"{sequence.name}:{region.start:,}-{region.end:,}"
        raise _lie(f"{split} region {place} is out of bounds, the sequence has {sequence.length:,} bases")


def _check_apart(index: ShardIndex, split: str, regions: Iterable[Region]) -> None:
    """Tiled regions of one split share no base: every base stands once in an epoch."""
    ordered = sorted(regions, key=lambda region: (region.sequence, region.start))
    for left, right in pairwise(ordered):
        if left.sequence == right.sequence and right.start < left.end:
            name = index.sequences[left.sequence].name
            raise _lie(f"{split} regions {name}:{left.start:,}-{left.end:,} and {right.start:,}-{right.end:,} overlap")


def check_index(index: ShardIndex) -> None:
    """Raise InputError where records leave gaps or overlap, or anything points out of bounds."""
    _check_names(index)
    seen: set[str] = set()
    for sequence in index.sequences:
        _check_sequence(index, sequence, seen)
    for split, regions in index.splits.items():
        for region in regions:
            _check_region(index, split, region)
        if index.policy == "tile":
            _check_apart(index, split, regions)
