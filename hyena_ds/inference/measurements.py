"""What is computed of sequences: embeddings, logits, log-likelihoods."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, get_args

import numpy as np
import pyarrow as pa

from hyena_ds.data.batch import base_targets
from hyena_ds.errors import InputError
from hyena_ds.genome.alphabet import PAD, SPECIAL_TOKENS
from hyena_ds.inference.batches import Batch, owned_positions
from hyena_ds.inference.frozen import FrozenModel
from hyena_ds.inference.pooling import Pooling, joined, pool
from hyena_ds.inference.sequences import NamedSequence
from hyena_ds.model.language_model import EMBEDDING_ROWS

# Waits for the results of a batch, one for each piece.
Pending = Callable[[], list[Any]]


class Measurement(Protocol):
    """Something computed of each sequence, piece by piece."""

    @property
    def schema(self) -> pa.Schema:
        """The columns beyond those that every table has."""

    @property
    def main(self) -> str:
        """The column that stands for the others."""

    @property
    def strands(self) -> int:
        """2 where the reverse complement is measured as well."""

    @property
    def bytes_per_base(self) -> int:
        """Of what stays in memory until a part is written."""

    @property
    def added_tokens(self) -> int:
        """Tokens that are read behind the bases of a sequence."""

    @property
    def settings(self) -> dict[str, Any]:
        """What the result depends on, beside model and sequences."""

    def measure(self, batch: Batch) -> Pending:
        """Start to measure a batch; what is returned waits for the results, one for each piece."""

    def combine(self, sequence: NamedSequence, strands: Sequence[Sequence[Any]]) -> dict[str, Any]:
        """The sequence's row from the results of its pieces in order, a list for each strand."""


@dataclass(frozen=True)
class Embedding:
    """Hidden states, pooled over the positions that hold no special token."""

    model: FrozenModel
    pooling: Pooling
    strands: int = 1
    added_tokens: int = 0
    main: str = "embedding"

    def __post_init__(self) -> None:
        if self.pooling not in get_args(Pooling):
            raise InputError(f"pooling={self.pooling!r} is none of {', '.join(get_args(Pooling))}")

    @property
    def schema(self) -> pa.Schema:
        vector = pa.list_(pa.float32(), self.model.config.d_model)
        if self.pooling == "none":
            return pa.schema([("marks", pa.list_(pa.uint8())), ("embedding", pa.list_(vector))])
        return pa.schema([("embedding", vector)])

    @property
    def bytes_per_base(self) -> int:
        return 4 * self.model.config.d_model if self.pooling == "none" else 1

    @property
    def settings(self) -> dict[str, Any]:
        return {"measure": "embedding", "pooling": self.pooling}

    def measure(self, batch: Batch) -> Pending:
        tokens = self.model.moved(batch.tokens)
        hidden = self.model.hidden(tokens, batch.padding)
        if self.pooling == "none":
            each = self.model.fetched(hidden)
            return lambda: owned_rows(each(), batch)
        owned = owned_positions(self.model.moved(batch.spans), tokens.shape[1])
        counted = owned & (tokens >= len(SPECIAL_TOKENS))
        pooled = self.model.fetched(pool(hidden, counted, self.pooling))
        counts = self.model.fetched(counted.sum(dim=1))
        return lambda: list(zip(pooled(), counts().tolist(), strict=True))

    def combine(self, sequence: NamedSequence, strands: Sequence[Sequence[Any]]) -> dict[str, Any]:
        (pieces,) = strands
        if self.pooling == "none":
            return {"marks": sequence.marks, "embedding": np.concatenate(pieces)}
        return {"embedding": joined(pieces, self.pooling)}


@dataclass(frozen=True)
class Logits:
    """Logits of the base after each position."""

    model: FrozenModel
    strands: int = 1
    added_tokens: int = 0
    bytes_per_base: int = 4 * EMBEDDING_ROWS
    main: str = "logits"

    @property
    def schema(self) -> pa.Schema:
        vector = pa.list_(pa.float32(), EMBEDDING_ROWS)
        return pa.schema([("marks", pa.list_(pa.uint8())), ("logits", pa.list_(vector))])

    @property
    def settings(self) -> dict[str, Any]:
        return {"measure": "logits"}

    def measure(self, batch: Batch) -> Pending:
        logits = self.model.fetched(self.model.logits(batch.tokens, batch.padding))
        return lambda: owned_rows(logits(), batch)

    def combine(self, sequence: NamedSequence, strands: Sequence[Sequence[Any]]) -> dict[str, Any]:
        return {"marks": sequence.marks, "logits": np.concatenate(strands[0])}


@dataclass(frozen=True)
class Likelihood:
    """Log-likelihood in nats of A, C, G and T given what stands before them, on one strand or both.

    The first base of a sequence has nothing before it and is not scored; nor is a base that is not known.
    """

    model: FrozenModel
    strands: int = 1
    per_base: bool = False
    added_tokens: int = 0
    bytes_per_base: int = 16

    @property
    def schema(self) -> pa.Schema:
        fields = [("scored_bases", pa.int64()), ("log_likelihood", pa.float64())]
        fields += [("log_likelihood_per_base", pa.float64()), ("perplexity", pa.float64())]
        if self.strands == 2:
            fields += [("log_likelihood_forward", pa.float64()), ("log_likelihood_reverse", pa.float64())]
        if self.per_base:
            fields += [("marks", pa.list_(pa.uint8())), ("forward", pa.list_(pa.float32()))]
            fields += [("reverse", pa.list_(pa.float32()))] * (self.strands == 2)
        return pa.schema(fields)

    @property
    def main(self) -> str:
        return "forward" if self.per_base else "log_likelihood"

    @property
    def settings(self) -> dict[str, Any]:
        return {"measure": "log-likelihood", "strands": self.strands, "per_base": self.per_base}

    def measure(self, batch: Batch) -> Pending:
        nats = self.model.fetched(self.model.nats(batch.tokens, batch.padding))
        return lambda: self._known(batch, nats())

    def _known(self, batch: Batch, nats: np.ndarray) -> list[np.ndarray]:
        """Of each piece the log-likelihoods of its bases, NaN where one is not scored."""
        values = np.full(batch.tokens.shape, np.nan, dtype=np.float32)
        values[:, 1:] = -nats
        known = base_targets(batch.tokens.numpy())
        if batch.padding == "left":  # the first base behind it has nothing before it either
            known[:, 1:] &= (batch.tokens != PAD).numpy()[:, :-1]
        return owned_rows(np.where(known, values, np.nan), batch)

    def combine(self, sequence: NamedSequence, strands: Sequence[Sequence[Any]]) -> dict[str, Any]:
        values = [np.concatenate(pieces) for pieces in strands]
        sums = [float(np.nansum(value, dtype=np.float64)) for value in values]
        counts = [int(np.count_nonzero(~np.isnan(value))) for value in values]
        mean = math.fsum(sums) / sum(counts) if sum(counts) else math.nan
        row = {"scored_bases": counts[0], "log_likelihood": math.fsum(sums) / len(sums)}
        row |= {"log_likelihood_per_base": mean, "perplexity": math.exp(-mean)}
        row |= {"log_likelihood_forward": sums[0], "log_likelihood_reverse": sums[-1]}
        return row | {"marks": sequence.marks, "forward": values[0], "reverse": values[-1][::-1]}


def owned_rows(values: np.ndarray, batch: Batch) -> list[np.ndarray]:
    """Of values [B, L, ...] the owned positions of each piece, in memory of their own."""
    return [row[start:end].copy() for row, (start, end) in zip(values, batch.spans.tolist(), strict=True)]
