"""Labelled sequences from FASTA headers, from a folder a class, and from BED intervals of a genome."""

import gzip
import re
import zlib
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from hyena_ds.downstream.example import Example, read_bases
from hyena_ds.downstream.task import TaskDataConfig
from hyena_ds.errors import InputError
from hyena_ds.genome.alphabet import reverse_complement
from hyena_ds.genome.bed import SPLIT_NAMES
from hyena_ds.genome.fasta import FASTA_SUFFIXES, FastaReader, Say, is_gzip, open_fasta
from hyena_ds.genome.interval import Interval
from hyena_ds.genome.names import resolve

COORDINATES = re.compile(r"^(\S+?):(\d+)-(\d+)")


def read_text(path: Path) -> str:
    """The text of a file, plain or gzip."""
    try:
        raw = path.read_bytes()
        return (gzip.decompress(raw) if is_gzip(path) else raw).decode("utf-8-sig")
    except (UnicodeDecodeError, EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise InputError(f"{path} is no text file ({error}); fetch or write it again") from None


def fasta_records(path: Path) -> Iterator[tuple[str, str, str]]:
    """Place, header without `>`, and bases of each record of a FASTA file."""
    text = read_text(path)
    if not text.lstrip().startswith(">"):
        raise InputError(f"{path} does not begin with '>'; give a FASTA file")
    for record in text.lstrip()[1:].split("\n>"):
        header, _, lines = record.partition("\n")
        yield f"{path} record {header.strip()!r}", header.strip(), "".join(lines.split())


def read_labelled_fasta(path: Path, config: TaskDataConfig) -> Iterator[Example]:
    """Records whose headers hold the label; a header that begins chr1:100-200 gives the place, 0-based half-open.

    In a directory, the name of each FASTA file holds its split: train.fna, all_test_enhancer.fasta.
    """
    if path.is_dir():
        for file, split in _split_files(path):
            yield from (replace(one, split=split) for one in read_labelled_fasta(file, config))
        return
    pattern = re.compile(config.header_label)
    for place, header, bases in fasta_records(path):
        label = pattern.search(header)
        if label is None:
            raise InputError(f"{place}: no label matches data.header_label={config.header_label!r}; change the pattern")
        found = COORDINATES.match(header)
        interval = Interval(found[1], int(found[2]), int(found[3])) if found else None
        yield Example(read_bases(bases, place), (label[1],), place, interval)


def _split_files(directory: Path) -> Iterator[tuple[Path, str]]:
    for file in sorted(directory.iterdir()):
        if Path(file.name.removesuffix(".gz")).suffix.lower() not in FASTA_SUFFIXES:
            continue
        splits = {SPLIT_NAMES[word] for word in re.split(r"[^a-z]+", file.name.lower()) if word in SPLIT_NAMES}
        if len(splits) != 1:
            raise InputError(f"{file}: its name holds none, or several, of train, valid and test; rename it")
        yield file, splits.pop()


def read_folders(directory: Path) -> Iterator[Example]:
    """A folder a class, of FASTA files or of text files of one sequence each; all names sorted.

    The class folders may stand in folders train, valid and test.
    """
    folders = sorted(path for path in directory.iterdir() if path.is_dir() and not path.name.startswith("."))
    if not folders:
        raise InputError(f"{directory} holds no folders; give one folder a class, or name a file")
    if all(folder.name.lower() in SPLIT_NAMES for folder in folders):
        for folder in folders:
            split = SPLIT_NAMES[folder.name.lower()]
            yield from (Example(one.tokens, one.label, one.place, split=split) for one in read_folders(folder))
        return
    for folder in folders:
        for file in sorted(path for path in folder.iterdir() if path.is_file() and not path.name.startswith(".")):
            for place, bases in _sequences(file):
                yield Example(read_bases(bases, place), (folder.name,), place)


def _sequences(file: Path) -> Iterator[tuple[str, str]]:
    if Path(file.name.removesuffix(".gz")).suffix.lower() in FASTA_SUFFIXES:
        yield from ((place, bases) for place, _, bases in fasta_records(file))
    else:
        yield str(file), "".join(read_text(file).split())


def read_bed_examples(path: Path, config: TaskDataConfig, cache: Path, say: Say) -> Iterator[Example]:
    """Intervals of `config.fasta`, the label in column 4; a minus in column 6 reads the opposite strand.

    `cache` and `say` are as in `read_examples`.
    """
    if not isinstance(config.fasta, str):
        raise InputError(f"{path} is a BED file and holds no bases; name the genome in data.fasta")
    fasta = open_fasta(Path(config.fasta), cache, say)
    lengths = {sequence.name: sequence.length for sequence in fasta.scan.sequences}
    with FastaReader(fasta) as reader:
        for number, line in enumerate(read_text(path).splitlines(), start=1):
            if not line.strip() or line.startswith(("#", "track", "browser")):
                continue
            place = f"{path} line {number:,}"
            interval, label, minus = _parse_bed(line, place, lengths)
            if config.window is not None:
                interval = interval.resized(config.window, lengths[interval.sequence])
            tokens = read_bases(reader.bases(interval).decode("ascii"), place)
            yield Example(reverse_complement(tokens) if minus else tokens, (label,), place, interval)


def _parse_bed(line: str, place: str, lengths: dict[str, int]) -> tuple[Interval, str, bool]:
    columns = [column.strip() for column in (line.split("\t") if "\t" in line else line.split())]
    try:
        name, start, end, label = columns[0], int(columns[1]), int(columns[2]), columns[3]
    except (IndexError, ValueError):
        raise InputError(
            f"{place}: {line[:40]!r} is not chromosome, start, end, label; separate them by tabs"
        ) from None
    try:
        interval = Interval(resolve(name, lengths), start, end)
        interval.check_within(lengths[interval.sequence])
    except InputError as error:
        raise InputError(f"{place}: {error}; is it the BED of another assembly?") from None
    return interval, label, len(columns) > 5 and columns[5] == "-"
