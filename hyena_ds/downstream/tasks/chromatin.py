"""Chromatin profile (Zhou and Troyanskaya 2015): coordinates with 919 labels, their bases in a genome."""

import functools
import gzip
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pyarrow
import pyarrow.csv as csv

from hyena_ds.downstream.example import Example
from hyena_ds.downstream.genome_bases import GenomeBases
from hyena_ds.downstream.labels import SEPARATORS
from hyena_ds.errors import InputError
from hyena_ds.genome.fasta import FastaReader, Say, is_gzip, open_fasta
from hyena_ds.genome.interval import Interval
from hyena_ds.genome.names import resolve

PLACE_COLUMNS = ("Chr_No", "Start", "End")
LABEL_PREFIX = "y_"
HUMAN_CHROMOSOMES = (*map(str, range(1, 23)), "X", "Y")
TRUE_WORDS, FALSE_WORDS = ["1", "1.0", "True", "true"], ["0", "0.0", "False", "false"]
BLOCK_BYTES = 16 * 2**20
WITHOUT_SEPARATORS = str.maketrans(dict.fromkeys(SEPARATORS, "_"))


def label_names(table: Path) -> tuple[str, ...]:
    """The labels of a table in the order of their columns, without `y_`; separators of labels become `_`."""
    return tuple(name.removeprefix(LABEL_PREFIX).translate(WITHOUT_SEPARATORS) for name in _label_columns(table))


def _label_columns(table: Path) -> list[str]:
    with (gzip.open if is_gzip(table) else open)(table, "rt", encoding="utf-8") as file:
        columns = [name.strip('"') for name in file.readline().rstrip("\r\n").split(",")]
    found = [name for name in columns if name.startswith(LABEL_PREFIX)]
    if not found:
        raise InputError(f"{table} has no columns y_...; give {{train,val,test}}_hg38_coords_targets.csv")
    return found


def read_coordinates(table: Path, genome: Path, window: int | None, cache: Path, say: Say) -> Iterator[Example]:
    """Rows of Chr_No, Start, End (0-based, half-open) and y_...; number 22 is chromosome X.

    `window` resizes each interval about its centre. The bases stay in `genome` until they are read.
    """
    names, columns = np.array(label_names(table)), _label_columns(table)
    fasta = open_fasta(genome, cache, say)
    reader, lengths = FastaReader(fasta), {sequence.name: sequence.length for sequence in fasta.scan.sequences}
    chromosome = functools.cache(lambda number: resolve(HUMAN_CHROMOSOMES[number], lengths))
    row = 0
    for batch in _batches(table, columns):
        places = zip(*(batch.column(name).to_pylist() for name in PLACE_COLUMNS), strict=True)
        truths = np.stack([batch.column(name).to_numpy(zero_copy_only=False) for name in columns], axis=1)
        for (number, start, end), truth in zip(places, truths, strict=True):
            row += 1
            place = f"{table} row {row:,}"
            if number not in range(len(HUMAN_CHROMOSOMES)):
                raise InputError(f"{place}: Chr_No {number} is no human chromosome; 0 is chr1, 22 is chrX")
            try:
                interval = Interval(chromosome(number), start, end)
                interval.check_within(lengths[interval.sequence])
            except InputError as error:
                raise InputError(f"{place}: {error}; is it the table of another assembly?") from None
            if window is not None:
                interval = interval.resized(window, lengths[interval.sequence])
            yield Example(GenomeBases(reader, interval), (";".join(names[truth]),), place, interval)


def _batches(table: Path, columns: Sequence[str]) -> Iterator[pyarrow.RecordBatch]:
    """The rows in blocks; an empty cell, and a label that is not 0 or 1, are errors."""
    options = csv.ConvertOptions(
        column_types=dict.fromkeys(PLACE_COLUMNS, pyarrow.int64()) | dict.fromkeys(columns, pyarrow.bool_()),
        null_values=[],
        true_values=TRUE_WORDS,
        false_values=FALSE_WORDS,
    )
    try:
        with csv.open_csv(table, csv.ReadOptions(block_size=BLOCK_BYTES), convert_options=options) as batches:
            if any(name not in batches.schema.names for name in PLACE_COLUMNS):
                raise InputError(f"{table} lacks one of the columns {', '.join(PLACE_COLUMNS)}")
            yield from batches
    except pyarrow.ArrowInvalid as error:
        raise InputError(f"{table} is no table of coordinates and labels ({error}); fetch it again") from None
