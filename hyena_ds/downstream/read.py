"""All examples of a task, from whatever form its files have."""

import fnmatch
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from hyena_ds.downstream.example import Example, read_bases
from hyena_ds.downstream.labelled_fasta import read_bed_examples, read_folders, read_labelled_fasta
from hyena_ds.downstream.table import BINARY_SUFFIXES, TEXT_SUFFIXES, bare_suffix, dataset_files, read_rows
from hyena_ds.downstream.task import TaskConfig, TaskDataConfig
from hyena_ds.downstream.tasks.catalogue import find_published
from hyena_ds.downstream.tasks.chromatin import label_names, read_coordinates
from hyena_ds.downstream.tasks.entry import count_examples
from hyena_ds.downstream.tasks.genomic_benchmarks import interval_tables, read_interval_tables
from hyena_ds.downstream.tasks.species import read_species
from hyena_ds.downstream.tasks.splice_sites import read_splice_sites
from hyena_ds.errors import InputError, listed
from hyena_ds.genome.bed import SPLIT_NAMES
from hyena_ds.genome.fasta import FASTA_SUFFIXES, Say
from hyena_ds.genome.interval import Interval


def read_examples(task: TaskConfig, config: TaskDataConfig, cache: Path, say: Say = print) -> list[Example]:
    """Every example of the task in the order of its files, each with the split that its file tells, if any.

    `cache` keeps the uncompressed copy of a gzip FASTA file; `say` takes a line for what the user should know of it.

    Raises InputError, naming the place, for the first thing that is no labelled sequence.
    """
    if task.published is not None and not Path(config.train).exists():
        raise InputError(
            f"no data at {config.train} for {task.published}; fetch it (python launch/fetch.py --list names all), "
            "or name where it is (data.train)"
        )
    examples = list(_read(Path(config.train), config, cache, say))
    if config.valid is not None or config.test is not None:
        examples = [one if one.split else replace(one, split="train") for one in examples]
    for split, place in (("valid", config.valid), ("test", config.test)):
        if place is not None:
            examples += [replace(one, split=split) for one in _read(Path(place), config, cache, say)]
    if task.published is not None:
        find_published(task.published).check(count_examples(examples))
    return [_fitted(example, task) for example in examples]


def named_classes(task: TaskConfig, config: TaskDataConfig) -> tuple[str, ...] | None:
    """The classes, in their order, that the config or the form of the data names; None where the labels tell."""
    if task.classes is None and config.species is not None:
        return config.species.names
    if task.classes is None and config.format == "coordinates":
        return label_names(Path(config.train))
    return task.classes


def _read(path: Path, config: TaskDataConfig, cache: Path, say: Say) -> list[Example]:
    if not path.exists():
        raise InputError(f"no data at {path}; name a file or a directory in the data section")
    examples = list(_by_format(path, config, cache, say))
    if not examples:
        raise InputError(f"{path} holds no examples; give labelled sequences")
    return examples


def _by_format(path: Path, config: TaskDataConfig, cache: Path, say: Say) -> Iterable[Example]:
    match _format(path) if config.format == "auto" else config.format:
        case "table":
            return _read_table(path, config)
        case "fasta":
            return read_labelled_fasta(path, config)
        case "folders":
            return read_folders(path)
        case "bed":
            return read_bed_examples(path, config, cache, say)
        case _:
            return _read_drawn(path, config, cache, say)


def _read_drawn(path: Path, config: TaskDataConfig, cache: Path, say: Say) -> Iterable[Example]:
    """Examples of the published forms that need a genome; the config has checked what each needs."""
    genome, window = Path(str(config.fasta)), config.window
    if config.species is not None:
        return read_species(path, config.species, cache, say)
    if config.splice_sites is not None:
        return read_splice_sites(path, genome, window or 0, config.splice_sites, cache, say)
    if config.format == "coordinates":
        return read_coordinates(path, genome, window, cache, say)
    return read_interval_tables(path, config.fasta, cache, say)


def _format(path: Path) -> str:
    if path.is_dir():
        if dataset_files(path):
            return "table"
        if interval_tables(path):
            return "intervals"
        return "fasta" if any(bare_suffix(file) in FASTA_SUFFIXES for file in path.iterdir()) else "folders"
    suffix = bare_suffix(path)
    if suffix in TEXT_SUFFIXES + BINARY_SUFFIXES:
        return "table"
    if suffix in FASTA_SUFFIXES:
        return "fasta"
    if suffix == ".bed":
        return "bed"
    raise InputError(f"{path}: its name does not tell what it is; set data.format to table, fasta, folders or bed")


def _read_table(path: Path, config: TaskDataConfig) -> Iterator[Example]:
    labels: Sequence[str] = ()
    for place, split, row in read_rows(path, config.columns):
        labels = labels or _label_columns(row, config, place)
        if config.sequence not in row:
            raise InputError(_missing("sequence", config.sequence, row, place))
        yield Example(
            tokens=read_bases(row[config.sequence], place),
            label=tuple(row[name].strip() for name in labels),
            place=place,
            interval=_interval(row, config, place),
            split=_split(row.get(config.split), place) or split,
            columns=tuple(labels) if len(labels) > 1 else (),
        )


def _label_columns(row: Mapping[str, str], config: TaskDataConfig, place: str) -> list[str]:
    """The label columns in the order in which they are named; a pattern's in that of the table."""
    wanted = (config.label,) if isinstance(config.label, str) else config.label
    found: list[str] = []
    for name in wanted:
        matches = [name] if name in row else fnmatch.filter(row, name)
        if not matches:
            raise InputError(_missing("label", name, row, place))
        found += matches
    return found


def _missing(what: str, name: str, row: Mapping[str, str], place: str) -> str:
    return f"{place}: there is no {what} column {name!r}; the columns are {listed(row)}: name one in data.{what}"


def _split(text: str | None, place: str) -> str | None:
    if not text:
        return None
    if text.lower() not in SPLIT_NAMES:
        raise InputError(f"{place}: split {text!r} is not train, valid or test; mend it, or set data.split to ''")
    return SPLIT_NAMES[text.lower()]


def _interval(row: Mapping[str, str], config: TaskDataConfig, place: str) -> Interval | None:
    columns = (config.chromosome, config.start, config.end)
    if any(name not in row for name in columns):
        return None
    chromosome, start, end = (row[name] for name in columns)
    try:
        return Interval(chromosome, int(start), int(end))
    except (ValueError, InputError):
        raise InputError(f"{place}: {chromosome}, {start}, {end} is no interval; mend the coordinates") from None


def _fitted(example: Example, task: TaskConfig) -> Example:
    """The example within the task's length; raises InputError where it is longer and may not be cut."""
    spare = len(example.tokens) - (task.length or len(example.tokens))
    if spare <= 0:
        return example
    if task.longer == "refuse" or task.kind == "position":
        raise InputError(
            f"{example.place}: the sequence has {len(example.tokens):,} bases, above task.length={task.length:,}; "
            "raise it, or set task.longer to centre or first"
        )
    first = spare // 2 if task.longer == "centre" else 0
    return replace(example, tokens=example.tokens[first : first + (task.length or 0)])
