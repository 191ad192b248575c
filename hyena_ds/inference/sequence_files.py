"""Sequences from files, read one after the other: FASTA, CSV, TSV and Parquet, plain or gzip."""

import gzip
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, cast

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from hyena_ds.errors import InputError
from hyena_ds.genome.fasta import COMPRESSED_SUFFIXES, is_gzip

SEPARATORS = {".csv": ",", ".tsv": "\t"}
PARQUET = ".parquet"
ROWS = 4096


@dataclass(frozen=True)
class SequenceFile:
    """A file of sequences; raises InputError where it is missing or not what its name says."""

    path: Path

    def __post_init__(self) -> None:
        if not self.path.is_file():
            raise InputError(f"no file at {self.path}; give a FASTA, CSV, TSV or Parquet file, or a sequence itself")

    @property
    def suffix(self) -> str:
        """The suffix under that of compression."""
        path = self.path.with_suffix("") if self.path.suffix in COMPRESSED_SUFFIXES else self.path
        return path.suffix.lower()

    @property
    def is_table(self) -> bool:
        return self.suffix in SEPARATORS or self.suffix == PARQUET

    def frames(self) -> Iterator[pd.DataFrame]:
        """The rows of a table, some at a time; the index goes on from frame to frame."""
        try:
            if self.suffix == PARQUET:
                yield from self._parquet_frames()
            else:
                separator = SEPARATORS[self.suffix]
                yield from pd.read_csv(self.path, sep=separator, chunksize=ROWS, keep_default_na=False)
        except (ValueError, EOFError, OSError, pa.ArrowException) as error:
            raise InputError(f"{self.path} is no readable {self.suffix[1:]} table ({error})") from None

    def _parquet_frames(self) -> Iterator[pd.DataFrame]:
        first = 0
        with pq.ParquetFile(self.path) as file:
            for batch in file.iter_batches(ROWS):
                frame = batch.to_pandas()
                yield frame.set_index(pd.RangeIndex(first, first + len(frame)))
                first += len(frame)

    def records(self) -> Iterator[tuple[str, bytes]]:
        """Name, the first word of the header, and characters of each FASTA record."""
        try:
            with self._open() as file:
                yield from _records(file, self.path)
        except (EOFError, gzip.BadGzipFile, zlib.error) as error:
            raise InputError(f"{self.path} is damaged gzip ({error}); fetch it again") from None

    def _open(self) -> BinaryIO:
        return cast(BinaryIO, gzip.open(self.path)) if is_gzip(self.path) else self.path.open("rb")


def _records(file: BinaryIO, path: Path) -> Iterator[tuple[str, bytes]]:
    name: str | None = None
    lines: list[bytes] = []
    for line in file:
        if line.startswith(b">"):
            if name is not None:
                yield name, b"".join(lines)
            words = line[1:].split(maxsplit=1)
            name, lines = words[0].decode("utf-8", errors="replace") if words else "", []
        elif name is not None:
            lines.append(line.strip())
        elif line.strip():
            raise InputError(f"{path} is not FASTA: the first line must begin with '>'")
    if name is None:
        raise InputError(f"{path} holds no FASTA record; the first line must begin with '>'")
    yield name, b"".join(lines)
