"""Biotypes of genes from frozen embeddings: gradient-boosted trees, their weighted F1, and a map of the embeddings."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.manifold import TSNE
from sklearn.metrics import f1_score
from sklearn.model_selection import train_test_split

from hyena_ds.errors import InputError

# Of the trees, as published.
TREES, DEPTH, LEARNING_RATE = 1000, 3, 0.1
PERPLEXITY = 30


@dataclass(frozen=True)
class BiotypeScores:
    """Weighted F1 over the test genes, F1 of each class, and how many genes trained and tested."""

    weighted_f1: float
    f1: dict[str, float]
    train: int
    test: int


def most_frequent(labels: Sequence[str], count: int) -> tuple[str, ...]:
    """The `count` most frequent labels, sorted; raises InputError where there are fewer."""
    found = sorted(Counter(labels).items(), key=lambda pair: (-pair[1], pair[0]))
    if len(found) < count:
        raise InputError(f"{len(found)} biotypes ({', '.join(name for name, _ in found)}) where {count} are asked for")
    return tuple(sorted(name for name, _ in found[:count]))


def classify(
    embeddings: np.ndarray, labels: Sequence[str], *, test: float, seed: int, trees: int = TREES
) -> BiotypeScores:
    """Train trees on all but the share `test` of the genes, drawn alike from every class, and score that share.

    Args:
        embeddings: one vector a gene, [n, D].
        labels: of each gene.
        test: the share that is scored.
        seed: of the split and the trees.
        trees: of each class.
    """
    rarest, count = min(Counter(labels).items(), key=lambda pair: pair[1])
    if count < 2:
        raise InputError(f"biotype {rarest} has {count} gene, which can be in train or in test alone; leave it out")
    parts = train_test_split(embeddings, np.array(labels), test_size=test, random_state=seed, stratify=labels)
    train, tested, train_labels, truth = parts
    model = HistGradientBoostingClassifier(
        max_iter=trees, max_depth=DEPTH, learning_rate=LEARNING_RATE, early_stopping=False, random_state=seed
    )
    found = model.fit(train, train_labels).predict(tested)
    names = sorted(set(labels))
    single = f1_score(truth, found, labels=names, average=None, zero_division=0.0)
    weighted = float(f1_score(truth, found, average="weighted", zero_division=0.0))
    return BiotypeScores(weighted, dict(zip(names, map(float, single), strict=True)), len(train), len(tested))


def plot_map(path: Path, embeddings: np.ndarray, labels: Sequence[str], *, seed: int) -> None:
    """t-SNE of the embeddings [n, D] as PNG, a colour a class."""
    places: Any = TSNE(perplexity=min(PERPLEXITY, (len(labels) - 1) / 3), random_state=seed).fit_transform(embeddings)
    figure = Figure(figsize=(7.0, 5.5), layout="constrained")
    axes = figure.subplots()
    for number, name in enumerate(sorted(set(labels))):
        chosen = np.array(labels) == name
        axes.scatter(places[chosen, 0], places[chosen, 1], s=4, color=f"C{number % 10}", label=name)
    axes.set(xlabel="t-SNE 1", ylabel="t-SNE 2", title=f"embeddings of {len(labels):,} genes")
    figure.legend(fontsize=7, markerscale=3, loc="outside right upper")
    figure.savefig(path, dpi=130)
