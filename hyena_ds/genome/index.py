"""The index of a shard directory: what `index.json` says, as types that validate themselves."""

import json
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from hyena_ds.errors import InputError

INDEX_NAME = "index.json"
FORMAT = "hyena_ds.shards/1"
CRC_BLOCK_BYTES = 64 * 1024


class _Entry(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Source(_Entry):
    """One FASTA file: its species, assembly name, SHA-256 of the uncompressed bytes and base counts."""

    species: str
    assembly: str
    file: str
    sha256: str
    composition: dict[str, int]  # A, C, G, T, N -> bases
    soft_masked: int


class Shard(_Entry):
    """One tar file of the directory."""

    name: str
    bytes: int
    sha256: str


class Record(_Entry):
    """A contiguous stretch of one sequence, stored as upper-case ASCII `ACGTN` bytes in a tar member.

    `offset` is the byte in the tar file where the bases begin; `crc32` holds one CRC-32 for each block of
    CRC_BLOCK_BYTES bases, the last one shorter.
    """

    key: str
    shard: int = Field(ge=0)
    offset: int = Field(ge=0)
    start: int = Field(ge=0)
    length: int = Field(gt=0)
    crc32: tuple[int, ...]


class Sequence(_Entry):
    """One FASTA record: its stored records in order of `start`, without gap or overlap, from 0 to `length`.

    `n_runs` are 0-based half-open [start, end) runs of N.
    """

    source: int = Field(ge=0)
    name: str
    length: int = Field(gt=0)
    records: tuple[Record, ...]
    n_runs: tuple[tuple[int, int], ...]
    soft_masked: int


class Region(_Entry):
    """A 0-based half-open stretch of `sequences[sequence]` that belongs to a split."""

    sequence: int = Field(ge=0)
    start: int = Field(ge=0)
    end: int = Field(gt=0)


class ShardIndex(_Entry):
    """All that a reader needs to know of a shard directory.

    `splits` maps `train`, `valid`, `test` to regions; `policy` says how windows are made of them:
    `tile` cuts each region into non-overlapping windows, `extend` centres a window on each region.
    """

    format: str = FORMAT
    policy: str
    sources: tuple[Source, ...]
    shards: tuple[Shard, ...]
    sequences: tuple[Sequence, ...]
    splits: dict[str, tuple[Region, ...]]

    def species(self) -> tuple[str, ...]:
        """Species names in the order of their first source."""
        return tuple(dict.fromkeys(source.species for source in self.sources))

    def bases(self, split: str) -> int:
        """Bases in the regions of `split`, counted once a region."""
        return sum(region.end - region.start for region in self.splits[split])


def write_index(index: ShardIndex, path: Path) -> None:
    """Write `index` as JSON with stable bytes."""
    path.write_text(json.dumps(index.model_dump(mode="json"), indent=1) + "\n", encoding="utf-8")


def read_index(directory: Path) -> ShardIndex:
    """The index of a shard directory; raises InputError where it is missing or malformed."""
    path = directory / INDEX_NAME
    if not path.is_file():
        raise InputError(f"no {INDEX_NAME} in {directory}; make it with: python -m preprocessing.shard --help")
    try:
        index = ShardIndex.model_validate_json(path.read_bytes())
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"]) or "top level"
        raise InputError(f"{path} is not a shard index: {place}: {first['msg']}; shard the genome again") from None
    if index.format != FORMAT:
        raise InputError(f"{path} has format {index.format!r}, this version reads {FORMAT!r}; shard the genome again")
    return index
