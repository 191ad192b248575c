"""The job of measuring sequences in whatever form they came."""

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, get_args

import pyarrow as pa

from hyena_ds.errors import InputError
from hyena_ds.inference.batches import Windowing
from hyena_ds.inference.frozen import FrozenModel
from hyena_ds.inference.jobs import Job, MakeTable
from hyena_ds.inference.measure import COMMON_SCHEMA, Advance, measured
from hyena_ds.inference.measurements import Measurement
from hyena_ds.inference.sequences import NamedSequence, Sequences, UnknownCharacters, checked_bases, read_sequences


@dataclass(frozen=True)
class Reading:
    """How sequences are read.

    Attributes:
        column: of a table, the one that holds the sequences; None: `sequence` or `seq`.
        window: bases of a window; None: whole sequences, of at most the model's `l_max`.
        overlap: bases that a window shares with the one before it; None: half a window.
        unknown: whether a character that is no nucleotide code is refused or read as [UNK].
    """

    column: str | None = None
    window: int | None = None
    overlap: int | None = None
    unknown: UnknownCharacters = "refuse"

    def __post_init__(self) -> None:
        if self.unknown not in get_args(UnknownCharacters):
            raise InputError(f"unknown={self.unknown!r} is none of {', '.join(get_args(UnknownCharacters))}")


def sequence_job(
    title: str, model: FrozenModel, measurement: Measurement, sequences: Sequences, reading: Reading
) -> Job[NamedSequence]:
    """The job of `measurement` over `sequences`; raises InputError for what cannot be measured, before any work."""
    l_max = model.config.l_max
    windowing = Windowing.of(reading.window, reading.overlap, l_max)
    named = read_sequences(sequences, reading.column)
    bases = checked_bases(named, None if reading.window else l_max - measurement.added_tokens, reading.unknown)

    def compute(parts: Iterable[Sequence[NamedSequence]], advance: Advance) -> Iterator[MakeTable]:
        for part in measured(parts, measurement, model, windowing, advance):
            yield part.table

    return Job(
        title=title,
        items=named,
        bases=bases,
        compute=compute,
        schema=pa.unify_schemas([COMMON_SCHEMA, measurement.schema]),
        main=measurement.main,
        settings=measurement.settings | model_settings(model) | {"window": reading.window, "overlap": reading.overlap},
        tokens_per_batch=model.tokens_per_batch,
        bytes_per_base=measurement.bytes_per_base,
    )


def model_settings(model: FrozenModel) -> dict[str, Any]:
    """What tells one model's results from another's."""
    digest = hashlib.sha256(repr(model.config).encode())
    for parameter in model.model.parameters():
        digest.update(parameter.detach().float().cpu().numpy().tobytes())
    return {"weights": digest.hexdigest(), "precision": model.precision}
