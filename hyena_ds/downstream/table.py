"""Rows of CSV, TSV, Parquet and Arrow files, and of Hugging Face dataset directories, as text by column."""

import csv
import gzip
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pyarrow as arrow
import pyarrow.parquet as parquet

from hyena_ds.errors import InputError, listed
from hyena_ds.genome.bed import SPLIT_NAMES
from hyena_ds.genome.fasta import is_gzip

TEXT_SUFFIXES = (".csv", ".tsv", ".txt")
BINARY_SUFFIXES = (".parquet", ".arrow")
LONGEST_FIELD = 2**31 - 1

# Where the row stands, the split that its file is of, and its values by column.
Row = tuple[str, str | None, dict[str, str]]


def bare_suffix(path: Path) -> str:
    """The suffix without compression: `.csv` of a.csv.gz."""
    return Path(path.name.removesuffix(".gz")).suffix.lower()


def dataset_files(directory: Path) -> list[Path]:
    """The Parquet and Arrow files of a Hugging Face dataset directory, sorted; none where it is something else."""
    return sorted(path for path in directory.rglob("*") if path.suffix in BINARY_SUFFIXES)


def read_rows(path: Path, columns: Sequence[str] | None) -> Iterator[Row]:
    """The rows of a table, or of all files of a dataset directory; `columns` names them where no header line does.

    Raises InputError with the line where a row has another number of fields than the header.
    """
    for file in dataset_files(path) if path.is_dir() else [path]:
        if file.suffix in BINARY_SUFFIXES:
            yield from _binary_rows(file, _split_of(file, path))
        else:
            yield from _text_rows(file, columns)


def _split_of(file: Path, directory: Path) -> str | None:
    """The split that a dataset's file name or folder tells: data/train-00000-of-00001.parquet, test/data-0.arrow."""
    for part in reversed(file.relative_to(directory).parts if file != directory else ()):
        word = part.partition("-")[0].partition(".")[0].lower()
        if word in SPLIT_NAMES:
            return SPLIT_NAMES[word]
    return None


def _binary_rows(path: Path, split: str | None) -> Iterator[Row]:
    for number, row in enumerate(_read_binary(path).to_pylist(), start=1):
        yield f"{path} row {number:,}", split, {name: _text(value) for name, value in row.items()}


def _read_binary(path: Path) -> Any:
    try:
        if path.suffix == ".parquet":
            return parquet.read_table(path)
        with arrow.memory_map(str(path)) as source:
            return _open_arrow(source).read_all()
    except (arrow.ArrowInvalid, OSError) as error:
        raise InputError(f"{path} is no whole Parquet or Arrow file ({error}); write it again") from None


def _open_arrow(source: Any) -> Any:
    """`datasets` writes the stream form; others may write the file form."""
    try:
        return arrow.ipc.open_stream(source)
    except arrow.ArrowInvalid:
        return arrow.ipc.open_file(source)


def _text(value: Any) -> str:
    """A value as a text table would hold it."""
    match value:
        case None:
            return ""
        case bool():
            return str(int(value))
        case list():
            return " ".join(map(_text, value))
    return str(value)


def _text_rows(path: Path, columns: Sequence[str] | None) -> Iterator[Row]:
    csv.field_size_limit(LONGEST_FIELD)
    try:
        with (gzip.open if is_gzip(path) else open)(path, "rt", encoding="utf-8-sig", newline="") as file:
            first = file.readline()
            file.seek(0)
            rows = csv.reader(file, delimiter="\t" if "\t" in first else ",")
            names = list(columns) if columns is not None else [name.strip() for name in next(rows, [])]
            for row in filter(None, rows):
                place = f"{path} line {rows.line_num:,}"
                if len(row) != len(names):
                    raise InputError(
                        f"{place}: {len(row)} fields where {len(names)} are named ({listed(names)}); "
                        "mend the line, or name the columns in data.columns"
                    )
                yield place, None, dict(zip(names, row, strict=True))
    except (UnicodeDecodeError, EOFError, gzip.BadGzipFile, zlib.error, csv.Error) as error:
        raise InputError(f"{path} is no table of text ({error}); give CSV, TSV or Parquet") from None
