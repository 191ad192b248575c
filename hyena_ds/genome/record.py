"""One record of a shard: bases of one sequence as upper-case ACGTN, and what was said about them."""

import json
import zlib
from dataclasses import dataclass
from typing import Any

import numpy as np

from hyena_ds.genome.alphabet import AMBIGUITY_CODES, BASES
from hyena_ds.genome.index import CRC_BLOCK_BYTES
from hyena_ds.genome.runs import Runs, runs_of

LOWER_CASE = ord("a")


def _normal_table() -> bytes:
    table = bytearray(range(256))
    for letters, replacement in (("ACGT", None), (AMBIGUITY_CODES, "N")):
        for letter in letters:
            table[ord(letter)] = table[ord(letter.lower())] = ord(replacement or letter)
    return bytes(table)


_NORMAL = _normal_table()


@dataclass(frozen=True)
class Bases:
    """Bases ready to store: `stored` upper-case ACGTN bytes; runs and counts in bases, runs from the sequence's 0."""

    stored: bytes
    n_runs: Runs
    soft_masked: Runs

    def composition(self) -> dict[str, int]:
        """Counts of A, C, G, T, N."""
        return {base: self.stored.count(base.encode()) for base in BASES}


def normalise(raw: bytes, start: int) -> Bases:
    """FASTA characters of a sequence from base `start` on: upper-cased, ambiguity codes and U made N."""
    stored = raw.translate(_NORMAL)
    n_runs = runs_of(np.frombuffer(stored, dtype=np.uint8) == ord("N"), start)
    soft_masked = runs_of(np.frombuffer(raw, dtype=np.uint8) >= LOWER_CASE, start)
    return Bases(stored, n_runs, soft_masked)


def block_checksums(stored: bytes | memoryview) -> tuple[int, ...]:
    """The CRC-32 of each block of CRC_BLOCK_BYTES bytes, the last one shorter."""
    view = memoryview(stored)
    return tuple(zlib.crc32(view[start : start + CRC_BLOCK_BYTES]) for start in range(0, len(view), CRC_BLOCK_BYTES))


def metadata(species: str, assembly: str, sequence: str, start: int, end: int, soft_masked: Runs) -> bytes:
    """The json member beside the bases: where they come from and which were lower case in the FASTA file."""
    fields: dict[str, Any] = {
        "species": species,
        "assembly": assembly,
        "sequence": sequence,
        "start": start,
        "end": end,
        "soft_masked": soft_masked,
    }
    return json.dumps(fields, separators=(",", ":")).encode()
