"""How well a model predicts a genome: perplexity in all, by context, species, repeat and GC class."""

import bisect
import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from hyena_ds.data.batch import base_targets
from hyena_ds.errors import InputError
from hyena_ds.genome.alphabet import A, C, G, T
from hyena_ds.genome.interval import Interval
from hyena_ds.genome.progress import Progress
from hyena_ds.inference.batches import Piece, make_batch
from hyena_ds.inference.evaluation_windows import EvaluationWindows, regions_of
from hyena_ds.inference.frozen import FrozenModel
from hyena_ds.inference.genome_access import Genome, open_genome
from hyena_ds.inference.measure import BATCHES_AHEAD
from hyena_ds.inference.overlap import ahead, started
from hyena_ds.inference.sequences import SOFT_MASKED, NamedSequence

GC_EDGES = (35, 40, 45, 50, 55)
GC_CLASSES = ("below 35 %", "35 to 40 %", "40 to 45 %", "45 to 50 %", "50 to 55 %", "55 % and above")
REPEATS, OTHERS = "soft-masked", "not soft-masked"


@dataclass
class Tally:
    """Negative log-likelihood in nats over `bases` targets, which grows window by window."""

    nats: float = 0.0
    bases: int = 0

    def add(self, nats: np.ndarray) -> None:
        """Count the targets of these nats."""
        self.nats += float(nats.sum(dtype=np.float64))
        self.bases += len(nats)

    @property
    def perplexity(self) -> float:
        return math.exp(self.nats / self.bases) if self.bases else math.nan

    @property
    def bits_per_base(self) -> float:
        return self.nats / self.bases / math.log(2) if self.bases else math.nan


@dataclass
class Evaluation:
    """Tallies over windows of `length` bases; a target is an A, C, G or T that has a base before it in its window.

    `context_nats` and `context_bases` [length] are those of the targets with so many bases before them.
    """

    length: int
    context_nats: np.ndarray
    context_bases: np.ndarray
    windows: int = 0
    total: Tally = field(default_factory=Tally)
    species: dict[str, Tally] = field(default_factory=dict)
    repeat: dict[str, Tally] = field(default_factory=lambda: {REPEATS: Tally(), OTHERS: Tally()})
    gc: dict[str, Tally] = field(default_factory=lambda: {name: Tally() for name in GC_CLASSES})

    @classmethod
    def empty(cls, length: int) -> "Evaluation":
        return cls(length, np.zeros(length), np.zeros(length, dtype=np.int64))

    def add(self, species: str, window: NamedSequence, nats: np.ndarray) -> None:
        """Count a window with the nats [L - 1] of its bases after the first."""
        targets = base_targets(window.tokens[1:])
        counted = nats[targets]
        soft_masked = (window.marks[1:] & SOFT_MASKED > 0)[targets]
        self.windows += 1
        self.context_nats[1 : len(window)] += np.where(targets, nats, 0)
        self.context_bases[1 : len(window)] += targets
        for tally in (self.total, self.species.setdefault(species, Tally()), self.gc[gc_class(window.tokens)]):
            tally.add(counted)
        self.repeat[REPEATS].add(counted[soft_masked])
        self.repeat[OTHERS].add(counted[~soft_masked])

    def contexts(self) -> dict[str, Tally]:
        """By bases of context, in doubling classes: 1, 2 to 3, 4 to 7, ..."""
        starts = [2**power for power in range(max(self.length - 1, 1).bit_length())]
        ends = [min(2 * start, self.length) for start in starts]
        return {
            f"{start:,}" if end - start == 1 else f"{start:,} to {end - 1:,}": self._between(start, end)
            for start, end in zip(starts, ends, strict=True)
        }

    def last(self) -> dict[str, Tally]:
        """Over the last bases of full windows: the last eighth, quarter, half, and the last 1, 16, 128 bases."""
        wanted = {1, 16, 128, self.length // 8, self.length // 4, self.length // 2}
        chosen = sorted(k for k in wanted if 0 < k < self.length)
        return {f"last {k:,}": self._between(self.length - k, self.length) for k in chosen}

    def _between(self, start: int, end: int) -> Tally:
        return Tally(float(self.context_nats[start:end].sum()), int(self.context_bases[start:end].sum()))

    def groups(self) -> dict[str, dict[str, Tally]]:
        """All tallies, by what they are taken by."""
        return {
            "all": {"all": self.total},
            "species": self.species,
            "repeat": self.repeat,
            "GC of the window": self.gc,
            "bases of context": self.contexts(),
            "end of the window": self.last(),
        }

    def table(self) -> pd.DataFrame:
        """A row a tally that has a target: by, class, bases, perplexity, bits_per_base."""
        rows = [
            {"by": by, "class": name, "bases": tally.bases, "perplexity": tally.perplexity, "bits": tally.bits_per_base}
            for by, tallies in self.groups().items()
            for name, tally in tallies.items()
            if tally.bases
        ]
        return pd.DataFrame(rows).rename(columns={"bits": "bits_per_base"})

    def document(self) -> dict[str, Any]:
        """What a JSON file keeps: the table, and perplexity by each number of bases of context."""
        known = self.context_bases > 0
        by_context = np.exp(self.context_nats[known] / self.context_bases[known])
        return {
            "length": self.length,
            "windows": self.windows,
            "table": self.table().to_dict(orient="records"),
            "context": np.flatnonzero(known).tolist(),
            "context_perplexity": by_context.round(6).tolist(),
        }


def gc_class(tokens: np.ndarray) -> str:
    """The class of a window by the share of G and C among its A, C, G and T."""
    strong = np.count_nonzero((tokens == G) | (tokens == C))
    known = np.count_nonzero((tokens >= A) & (tokens <= T))
    return GC_CLASSES[bisect.bisect_right(GC_EDGES, 100 * strong / known)]


def evaluate(
    model: FrozenModel,
    genomes: Mapping[str, Path],
    *,
    regions: str | Path | Sequence[Interval] | None = None,
    length: int | None = None,
    windows: int | None = None,
    cache: Path | None = None,
    progress: bool = False,
) -> Evaluation:
    """Score windows of each genome, by its species' name; see `HyenaDNA.evaluate`."""
    l_max = model.config.l_max
    chosen = max(l_max - 2, 2) if length is None else length
    if not 2 <= chosen <= l_max:
        raise InputError(f"windows of {chosen:,} bases do not lie between 2 and the model's l_max, {l_max:,}")
    evaluation = Evaluation.empty(chosen)
    for species, fasta in genomes.items():
        with open_genome(fasta, cache, progress=progress) as genome:
            tiles = EvaluationWindows(regions_of(genome, regions), chosen)
            count = len(tiles) if windows is None else min(windows, len(tiles))
            with Progress(f"score {species}", count * chosen, "b", shown=progress) as bar:
                _score(model, evaluation, species, genome, tiles.chosen(windows), bar.advance)
    if not evaluation.total.bases:
        raise InputError("the windows hold no A, C, G or T to score; give other regions")
    return evaluation


def _score(
    model: FrozenModel,
    evaluation: Evaluation,
    species: str,
    genome: Genome,
    windows: Iterable[Interval],
    advance: Callable[[int], None],
) -> None:
    def scorable() -> Iterator[NamedSequence]:
        for interval in windows:
            sequence = NamedSequence(str(interval), genome.bases(interval))
            if base_targets(sequence.tokens[1:]).any():
                yield sequence
            else:
                advance(evaluation.length)

    def start(sequences: Sequence[NamedSequence]) -> Callable[[], np.ndarray]:
        batch = make_batch([Piece(sequence.raw) for sequence in sequences], range(len(sequences)))
        return model.fetched(model.nats(batch.tokens, batch.padding))

    groups = ahead(_groups(scorable(), max(1, model.tokens_per_batch // evaluation.length)))
    for sequences, nats in started(groups, start, BATCHES_AHEAD):
        for sequence, row in zip(sequences, nats, strict=True):
            evaluation.add(species, sequence, row[: len(sequence) - 1])
        advance(len(sequences) * evaluation.length)


def _groups(sequences: Iterator[NamedSequence], size: int) -> Iterator[list[NamedSequence]]:
    while group := list(islice(sequences, size)):
        yield group
