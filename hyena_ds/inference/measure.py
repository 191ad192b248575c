"""Tables of measurements: some sequences in, one row each out."""

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import pyarrow as pa

from hyena_ds.genome.alphabet import reverse_complement
from hyena_ds.inference.batches import Batch, Piece, Windowing, batches
from hyena_ds.inference.frozen import FrozenModel
from hyena_ds.inference.measurements import Measurement, Pending
from hyena_ds.inference.sequences import SOFT_MASKED, UNKNOWN_BASE, UNKNOWN_CHARACTER, NamedSequence

Advance = Callable[[int], None]

COMMON_SCHEMA = pa.schema(
    [
        ("name", pa.string()),
        ("bases", pa.int64()),
        ("unknown_bases", pa.int64()),
        ("unknown_characters", pa.int64()),
        ("soft_masked_bases", pa.int64()),
    ]
)


def measured_rows(
    sequences: Sequence[NamedSequence],
    measurement: Measurement,
    model: FrozenModel,
    windowing: Windowing,
    advance: Advance = lambda bases: None,
) -> list[dict[str, Any]]:
    """What `measurement` finds of each sequence; `advance` takes the bases of a batch when it is done."""
    pieces: list[Piece] = []
    places: list[list[slice]] = []  # of each sequence, its pieces on each strand
    for sequence in sequences:
        strands = _cut(sequence, measurement.strands, windowing)
        ends = np.cumsum([len(pieces), *map(len, strands)]).tolist()
        places.append([slice(start, end) for start, end in pairwise(ends)])
        pieces += [piece for strand in strands for piece in strand]
    results = _measure_pieces(pieces, measurement, model, advance)
    return [
        measurement.combine(sequence, [results[strand] for strand in strands])
        for sequence, strands in zip(sequences, places, strict=True)
    ]


def _cut(sequence: NamedSequence, strands: int, windowing: Windowing) -> list[list[Piece]]:
    """The windows of a sequence and, where there are two strands, of its reverse complement."""
    read = [sequence.tokens] if strands == 1 else [sequence.tokens, reverse_complement(sequence.tokens)]
    spans = list(windowing.spans(len(sequence)))
    return [[Piece(tokens[start:end], owned - start) for start, end, owned in spans] for tokens in read]


def _measure_pieces(
    pieces: Sequence[Piece], measurement: Measurement, model: FrozenModel, advance: Advance
) -> list[Any]:
    results: list[Any] = [None] * len(pieces)

    def finish(batch: Batch, pending: Pending) -> None:
        for number, result in zip(batch.numbers, pending(), strict=True):
            results[number] = result
        advance(sum(end - owned for owned, end in batch.spans) // measurement.strands)

    started: list[tuple[Batch, Pending]] = []
    for batch in batches(pieces, model.tokens_per_batch, model.config.l_max):
        started.append((batch, measurement.measure(batch)))
        if len(started) > 1:  # a GPU computes a batch while the one before it is read and the next is made
            finish(*started.pop(0))
    for last in started:
        finish(*last)
    return results


def measured_table(
    sequences: Sequence[NamedSequence],
    measurement: Measurement,
    model: FrozenModel,
    windowing: Windowing,
    advance: Advance = lambda bases: None,
) -> pa.Table:
    """`measured_rows` as a table, with what is known of each sequence before its columns."""
    rows = measured_rows(sequences, measurement, model, windowing, advance)
    described = [_describe(sequence) | row for sequence, row in zip(sequences, rows, strict=True)]
    return table_of(described, pa.unify_schemas([COMMON_SCHEMA, measurement.schema]))


def _describe(sequence: NamedSequence) -> dict[str, Any]:
    marked = sequence.marked
    bits = {"unknown_bases": UNKNOWN_BASE, "unknown_characters": UNKNOWN_CHARACTER, "soft_masked_bases": SOFT_MASKED}
    counts = {name: int(np.count_nonzero(marked & bit)) if len(marked) else 0 for name, bit in bits.items()}
    return {"name": sequence.name, "bases": len(sequence), **counts}


def table_of(rows: Sequence[dict[str, Any]], schema: pa.Schema) -> pa.Table:
    """Rows of numbers, text and arrays as a table; keys that the schema does not name are left out."""
    columns = [_column([row[field.name] for row in rows], field.type) for field in schema]
    return pa.Table.from_arrays(columns, schema=schema)


def _column(values: list[Any], kind: pa.DataType) -> pa.Array:
    if pa.types.is_fixed_size_list(kind):
        return pa.FixedSizeListArray.from_arrays(_flat(values, kind.value_type), type=kind)
    if pa.types.is_list(kind):
        ends = pa.array(np.cumsum([0, *map(len, values)]), pa.int32())
        nested = pa.types.is_fixed_size_list(kind.value_type)
        inner = _column(values, kind.value_type) if nested else _flat(values, kind.value_type)
        return pa.ListArray.from_arrays(ends, inner, type=kind)
    return pa.array(values, kind)


def _flat(values: list[Any], kind: pa.DataType) -> pa.Array:
    return pa.array(np.concatenate(values).ravel(), kind)
