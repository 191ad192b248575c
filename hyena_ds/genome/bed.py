"""BED files: intervals, and in the fourth column the split that each belongs to."""

import gzip
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from hyena_ds.errors import InputError
from hyena_ds.genome.fasta import is_gzip
from hyena_ds.genome.interval import Interval
from hyena_ds.genome.names import resolve

SPLIT_NAMES = {"train": "train", "valid": "valid", "val": "valid", "validation": "valid", "test": "test"}
HEADER_WORDS = ("track", "browser")


@dataclass(frozen=True)
class BedLine:
    """One interval as the file writes it, with its 1-based line number."""

    number: int
    interval: Interval
    split: str


def _text(path: Path) -> str:
    if not path.is_file():
        raise InputError(f"no BED file at {path}")
    try:
        raw = path.read_bytes()
        return (gzip.decompress(raw) if is_gzip(path) else raw).decode("utf-8-sig")
    except PermissionError:
        raise InputError(f"{path} cannot be read; check its permissions") from None
    except (UnicodeDecodeError, EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise InputError(f"{path} is no BED text file ({error})") from None


def _rows(text: str) -> Iterator[tuple[int, list[str]]]:
    """Line number and columns of the lines that are neither blank, comment nor a browser's header."""
    for number, line in enumerate(text.splitlines(), start=1):
        words = line.split()
        if words and not words[0].startswith("#") and words[0] not in HEADER_WORDS:
            yield number, [column.strip() for column in line.split("\t")] if "\t" in line else words


def _is_column_names(columns: list[str]) -> bool:
    return len(columns) >= 3 and columns[1].lower() in ("start", "chromstart", "chrom_start")


def _parse(columns: list[str], number: int, place: str) -> BedLine:
    try:
        start, end = int(columns[1]), int(columns[2])
    except (IndexError, ValueError):
        shown = " ".join(columns[:3])
        raise InputError(f"{place}: {shown!r} is not chromosome, start, end separated by tabs") from None
    split = columns[3].lower() if len(columns) > 3 else "train"
    if split not in SPLIT_NAMES:
        raise InputError(f"{place}: split {columns[3]!r} is not train, valid or test; drop the column with: cut -f1-3")
    try:
        return BedLine(number, Interval(columns[0], start, end), SPLIT_NAMES[split])
    except InputError as error:
        raise InputError(f"{place}: {error}") from None


def read_bed(path: Path) -> tuple[BedLine, ...]:
    """The intervals of a BED file in its order; those without a fourth column train.

    Comments, blank, `track` and `browser` lines, a line of column names, CRLF and gzip are tolerated. Raises
    InputError with the line number where a line is no interval, names no split, or has a split and others have none.
    """
    lines: list[BedLine] = []
    first_columns = 0
    for number, columns in _rows(_text(path)):
        if not lines and _is_column_names(columns):
            continue
        place = f"{path} line {number}"
        first_columns = first_columns or min(len(columns), 4)
        if min(len(columns), 4) != first_columns:
            raise InputError(f"{place}: {len(columns)} columns after lines with {first_columns}; split all or none")
        lines.append(_parse(columns, number, place))
    if not lines:
        raise InputError(f"{path} holds no interval")
    return tuple(lines)


def place_bed(path: Path, lengths: Mapping[str, int]) -> tuple[BedLine, ...]:
    """The intervals of a BED file under the names of a genome whose sequences have `lengths` bases.

    Raises InputError with the line number for an unknown chromosome and for an end beyond the chromosome.
    """
    resolved: dict[str, str] = {}
    placed = []
    for line in read_bed(path):
        written = line.interval
        try:
            if written.sequence not in resolved:
                resolved[written.sequence] = resolve(written.sequence, lengths)
            interval = Interval(resolved[written.sequence], written.start, written.end)
            interval.check_within(lengths[interval.sequence])
        except InputError as error:
            raise InputError(f"{path} line {line.number}: {error}; is it the BED of another assembly?") from None
        placed.append(BedLine(line.number, interval, line.split))
    return tuple(placed)
