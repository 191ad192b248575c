"""The forms in which sequences come, as one: an iterable of named sequences that can be read more than once."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Literal, NamedTuple, Protocol

import numpy as np
import pandas as pd

from hyena_ds.errors import InputError
from hyena_ds.genome.alphabet import UNK, N, encode
from hyena_ds.genome.record import LOWER_CASE, normalise
from hyena_ds.inference.sequence_files import SequenceFile

# What `read_sequences` takes: one sequence, a file's path, sequences, or a table of them.
Sequences = str | Path | Iterable[str] | Mapping[str, str] | pd.Series | pd.DataFrame
SEQUENCE_COLUMNS = ("sequence", "Sequence", "seq", "bases")
NAME_COLUMNS = ("name", "id", "Name", "ID")
UnknownCharacters = Literal["refuse", "mark"]

# Bits of a mark: a base that is not known, a character that is no base, and soft-masking.
UNKNOWN_BASE, UNKNOWN_CHARACTER, SOFT_MASKED = 1, 2, 4

# By character, as tables of `bytes.translate`, which is several times faster than an array as index.
# Either case; ambiguity codes and U are N, as in the shards, and what is no nucleotide code is [UNK].
_TOKENS = encode(normalise(bytes(range(256)), 0).stored).tobytes()
_MARKS = bytes(
    UNKNOWN_BASE * (token == N) + UNKNOWN_CHARACTER * (token == UNK) + SOFT_MASKED * (character >= LOWER_CASE)
    for character, token in enumerate(_TOKENS)
)
_UNMARKED = bytes(character for character, mark in enumerate(_MARKS) if not mark)


class Marked(NamedTuple):
    """Bases of a sequence that are not known, are no base, or are soft-masked."""

    unknown_bases: int
    unknown_characters: int
    soft_masked_bases: int


_NONE_MARKED = Marked(0, 0, 0)


def tokens_of(raw: bytes) -> np.ndarray:
    """Token ids, uint8 [L]; no special token is added."""
    return np.frombuffer(raw.translate(_TOKENS), dtype=np.uint8)


@dataclass(frozen=True)
class NamedSequence:
    """A sequence as it was given, one byte a character."""

    name: str
    raw: bytes

    @classmethod
    def of_text(cls, name: str, text: str) -> "NamedSequence":
        """`text` in Latin-1, where every character beyond it becomes `?`, which is no base either."""
        return cls(name, text.strip().removesuffix("[SEP]").encode("latin-1", errors="replace"))

    def __len__(self) -> int:
        return len(self.raw)

    @property
    def identity(self) -> bytes:
        """What tells this sequence from another."""
        return b"%b\n%b\n" % (self.name.encode(), self.raw)

    @cached_property
    def tokens(self) -> np.ndarray:
        """Token ids, uint8 [L]; no special token is added."""
        return tokens_of(self.raw)

    @property
    def marks(self) -> np.ndarray:
        """uint8 [L]: 1 at N and ambiguity codes, 2 at what is no base ([UNK]), plus 4 at lower case."""
        return np.frombuffer(self.raw.translate(_MARKS), dtype=np.uint8)

    @cached_property
    def marked(self) -> Marked:
        """How many bases have each mark."""
        marks = self.raw.translate(_MARKS, _UNMARKED)
        if not marks:  # most sequences, and quicker
            return _NONE_MARKED
        found = np.frombuffer(marks, dtype=np.uint8)
        return Marked(*(int(np.count_nonzero(found & bit)) for bit in (UNKNOWN_BASE, UNKNOWN_CHARACTER, SOFT_MASKED)))

    def check(self, longest: int | None, unknown: UnknownCharacters) -> None:
        """Raise InputError where the sequence is empty, too long, or has a character that is no base."""
        if not self.raw:
            raise InputError(f"sequence {self.name!r} is empty; remove it")
        if longest is not None and len(self) > longest:
            raise InputError(
                f"sequence {self.name!r} has {len(self):,} bases, the model's l_max leaves room for {longest:,}; "
                "cut it, read it in overlapping windows (window=..., --window) where it is embedded or scored, or use "
                "a model of longer context"
            )
        if unknown == "refuse" and self.marked.unknown_characters:
            position = int((self.tokens == UNK).argmax())
            raise InputError(
                f"sequence {self.name!r} has {chr(self.raw[position])!r} at base {position + 1:,}, which is no "
                "nucleotide code; remove it, or read it as [UNK] and have it marked where it is embedded or scored "
                "(unknown='mark', --unknown mark)"
            )


class NamedSequences(Protocol):
    """Sequences that can be read as often as needed."""

    def __iter__(self) -> Iterator[NamedSequence]: ...


def checked_bases(sequences: NamedSequences, longest: int | None, unknown: UnknownCharacters) -> int:
    """The bases of all `sequences`; raises InputError for the first that cannot be used, before any work is done."""
    bases = 0
    for sequence in sequences:
        sequence.check(longest, unknown)
        bases += len(sequence)
    if not bases:
        raise InputError("there is no sequence; give at least one")
    return bases


def read_sequences(given: Sequences, column: str | None = None) -> NamedSequences:
    """Any form of sequences as named ones.

    Args:
        given: a sequence; a path (a Path, or text with a dot or a slash) of FASTA, CSV, TSV or Parquet, gzip too; any
            iterable of sequences, which get their number as name; a mapping of names to sequences; a pandas Series,
            named by its index; a DataFrame, named by its column `name` or `id`, else by its index.
        column: of a table, the one that holds the sequences; by default `sequence` or `seq`.
    """
    match given:
        case Path():
            return _FromFile(SequenceFile(given), column)
        case str() if "." in given or "/" in given:
            return _FromFile(SequenceFile(Path(given)), column)
        case str():
            return _named(["0"], [given])
        case pd.Series():
            return _named(given.index, given)
        case Mapping():
            return _named(given.keys(), given.values())
        case pd.DataFrame():
            return list(_of_frame(given, column, "the table"))
        case Iterable():
            texts = list(given)
            return _named(range(len(texts)), texts)
    raise InputError(f"{given!r} is a {type(given).__name__}; give a sequence, a path, or several sequences")


@dataclass(frozen=True)
class _FromFile:
    file: SequenceFile
    column: str | None

    def __iter__(self) -> Iterator[NamedSequence]:
        if self.file.is_table:
            for frame in self.file.frames():
                yield from _of_frame(frame, self.column, str(self.file.path))
            return
        for name, raw in self.file.records():
            yield NamedSequence(name, raw)


def _named(names: Iterable[object], texts: Iterable[object]) -> list[NamedSequence]:
    named = []
    for name, text in zip(names, texts, strict=True):
        if not isinstance(text, str):
            raise InputError(f"sequence {str(name)!r} is {text!r}, a {type(text).__name__}; sequences are text")
        named.append(NamedSequence.of_text(str(name), text))
    return named


def _of_frame(frame: pd.DataFrame, column: str | None, place: str) -> Iterator[NamedSequence]:
    candidates = SEQUENCE_COLUMNS if column is None else (column,)
    found = next((name for name in candidates if name in frame.columns), None)
    if found is None:
        raise InputError(
            f"{place} has no column {candidates[0]!r} but {', '.join(map(str, frame.columns))}; "
            "name the one that holds the sequences (column=..., --column)"
        )
    names = next((name for name in NAME_COLUMNS if name in frame.columns), None)
    yield from _named(frame.index if names is None else frame[names], frame[found])
