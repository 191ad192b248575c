"""Tables of measurements: some sequences in, one row each out."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from hyena_ds.inference.batches import Batch, Piece, Windowing, batches
from hyena_ds.inference.frozen import FrozenModel
from hyena_ds.inference.measurements import Measurement
from hyena_ds.inference.overlap import ahead, started
from hyena_ds.inference.sequences import Marked, NamedSequence

Advance = Callable[[int], None]

# Batches that a GPU has before it while the host reads one's results and makes others.
BATCHES_AHEAD = 2
COMMON_SCHEMA = pa.schema(
    [
        ("name", pa.string()),
        ("bases", pa.int64()),
        ("unknown_bases", pa.int64()),
        ("unknown_characters", pa.int64()),
        ("soft_masked_bases", pa.int64()),
    ]
)


class Measured:
    """What `measurement` finds of a part's `sequences`, whose pieces end at `ends`: a row of each once all is taken."""

    def __init__(self, sequences: Sequence[NamedSequence], measurement: Measurement, ends: Sequence[int]) -> None:
        self.sequences, self.measurement = sequences, measurement
        self.rows: list[dict[str, Any]] = [{}] * len(sequences)
        self._bounds = [0, *ends]
        counts = np.diff(self._bounds)
        self._owners, self._missing = np.repeat(np.arange(len(counts)), counts).tolist(), counts.tolist()
        self._results: list[Any] = [None] * len(self._owners)

    def take(self, numbers: Sequence[int], results: Sequence[Any]) -> None:
        """The results of some pieces; the last of a sequence's makes its row."""
        for number, result in zip(numbers, results, strict=True):
            self._results[number] = result
            owner = self._owners[number]
            self._missing[owner] -= 1
            if not self._missing[owner]:
                own = slice(*self._bounds[owner : owner + 2])
                self.rows[owner] = self.measurement.combine(self.sequences[owner], self._strands(self._results[own]))

    def _strands(self, results: list[Any]) -> list[list[Any]]:
        if self.measurement.strands == 1:
            return [results]
        each = len(results) // self.measurement.strands
        return [results[start : start + each] for start in range(0, len(results), each)]

    def table(self) -> pa.Table:
        """`rows` as a table, with what is known of each sequence before its columns."""
        marked = [sequence.marked for sequence in self.sequences]
        columns: dict[str, list[Any]] = {
            "name": [sequence.name for sequence in self.sequences],
            "bases": [len(sequence) for sequence in self.sequences],
            **{field: [getattr(marks, field) for marks in marked] for field in Marked._fields},
            **{field: [row[field] for row in self.rows] for field in self.measurement.schema.names},
        }
        return table_of(columns, pa.unify_schemas([COMMON_SCHEMA, self.measurement.schema]))


def measured(
    parts: Iterable[Sequence[NamedSequence]],
    measurement: Measurement,
    model: FrozenModel,
    windowing: Windowing,
    advance: Advance,
) -> Iterator[Measured]:
    """What `measurement` finds of each part, in order; `advance` takes the bases of a batch when it is done.

    A thread reads `parts` and makes batches, and a GPU goes on with the next part before one's results are used.
    """
    cut = ahead(_cut_parts(parts, measurement, model, windowing))
    for (part, batch, last), results in started(cut, lambda made: measurement.measure(made[1]), BATCHES_AHEAD):
        part.take(batch.numbers, results)
        advance(int((batch.spans[:, 1] - batch.spans[:, 0]).sum()) // measurement.strands)
        if last:
            yield part


def _cut_parts(
    parts: Iterable[Sequence[NamedSequence]], measurement: Measurement, model: FrozenModel, windowing: Windowing
) -> Iterator[tuple[Measured, Batch, bool]]:
    """The batches of each part, and whether one is the last of its part."""
    for sequences in parts:
        pieces: list[Piece] = []
        ends = []
        for sequence in sequences:
            pieces += _cut(sequence.raw, measurement.strands, windowing)
            ends.append(len(pieces))
        part = Measured(sequences, measurement, ends)
        left = len(pieces)
        for batch in batches(pieces, model.tokens_per_batch, model.config.l_max, on_gpu=model.device.type == "cuda"):
            left -= len(batch.numbers)
            yield part, batch, left == 0


def _cut(raw: bytes, strands: int, windowing: Windowing) -> list[Piece]:
    """The windows of a sequence and, where there are two strands, those of its reverse complement behind them."""
    if len(raw) <= windowing.window and strands == 1:  # most sequences, and quicker
        return [Piece(raw)]
    spans = list(windowing.spans(len(raw)))
    pieces = [Piece(raw[start:end], owned - start) for start, end, owned in spans]
    if strands == 2:
        pieces += [Piece(raw[len(raw) - end : len(raw) - start], owned - start, True) for start, end, owned in spans]
    return pieces


def table_of(columns: Mapping[str, list[Any]], schema: pa.Schema) -> pa.Table:
    """Columns of numbers, text and arrays as a table."""
    return pa.Table.from_arrays([_column(columns[field.name], field.type) for field in schema], schema=schema)


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
