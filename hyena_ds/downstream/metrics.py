"""How good predictions are, with confidence intervals by bootstrap over sequences."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from sklearn.metrics import (
    average_precision_score,
    mean_squared_error,
    precision_recall_fscore_support,
    r2_score,
    roc_auc_score,
)

from hyena_ds.downstream.labels import IGNORED
from hyena_ds.downstream.outputs import probabilities
from hyena_ds.hub.task_head import TaskKind

Scores = dict[str, float]


@dataclass(frozen=True)
class Predictions:
    """Targets and outputs of a split, one array an example; `outputs` are those of the head, before any softmax.

    `groups` divide several labels, in their order, into groups of so many.
    """

    kind: TaskKind
    targets: Sequence[np.ndarray]
    outputs: Sequence[np.ndarray]
    groups: Mapping[str, int] = field(default_factory=dict)

    def rows(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Targets [n] or [n, C], probabilities or values [n, C], and the example of each row [n].

        A row is an example, or a position that is scored.
        """
        if self.kind != "position":
            targets = np.stack(self.targets)
            return targets, probabilities(self.kind, np.stack(self.outputs)), np.arange(len(targets))
        joined = np.concatenate(self.targets)
        scored = joined != IGNORED
        owners = np.repeat(np.arange(len(self.targets)), [len(target) for target in self.targets])
        return joined[scored], probabilities(self.kind, np.concatenate(self.outputs)[scored]), owners[scored]


def score(predictions: Predictions) -> Scores:
    """Every metric of the kind of task over all examples; NaN where it is not defined."""
    targets, found, _ = predictions.rows()
    return _score(predictions, targets, found)


def _score(predictions: Predictions, targets: np.ndarray, found: np.ndarray) -> Scores:
    match predictions.kind:
        case "regression":
            return _regression(targets, found)
        case "multilabel":
            return _multilabel(targets, found, predictions.groups)
    return _classes(targets, found)


def bootstrap(predictions: Predictions, draws: int, confidence: float, seed: int) -> dict[str, tuple[float, float]]:
    """The interval of each metric over `draws` resamplings of the examples, by percentile."""
    targets, found, owners = predictions.rows()
    rows_of = np.split(np.arange(len(owners)), np.flatnonzero(np.diff(owners)) + 1)
    generator, several = np.random.default_rng(seed), []
    for _ in range(draws):
        drawn = generator.integers(0, len(rows_of), len(rows_of))
        rows = drawn if len(rows_of) == len(owners) else np.concatenate([rows_of[number] for number in drawn])
        several.append(_score(predictions, targets[rows], found[rows]))
    tails = (50 * (1 - confidence), 50 * (1 + confidence))
    return {name: _interval([scores[name] for scores in several], tails) for name in (several[0] if several else ())}


def _interval(values: Sequence[float], tails: tuple[float, float]) -> tuple[float, float]:
    defined = [value for value in values if np.isfinite(value)]
    low, high = np.percentile(defined, tails) if defined else (np.nan, np.nan)
    return float(low), float(high)


def _classes(targets: np.ndarray, found: np.ndarray) -> Scores:
    """One of several classes; where there are two, precision, recall, F1 and the areas are the second one's."""
    chosen, classes = found.argmax(axis=1), np.arange(found.shape[1])
    precision, recall, f1, _ = precision_recall_fscore_support(targets, chosen, labels=classes, zero_division=0.0)
    truths = (targets[:, None] == classes).astype(int)
    columns = slice(1, 2) if len(classes) == 2 else slice(None)
    return {
        "accuracy": float((targets == chosen).mean()),
        "precision": float(precision[columns].mean()),
        "recall": float(recall[columns].mean()),
        "f1": float(f1[columns].mean()),
        "f1_macro": float(f1.mean()),
        "mcc": matthews(targets, chosen),
        **_areas(truths[:, columns], found[:, columns]),
    }


def _multilabel(targets: np.ndarray, found: np.ndarray, groups: Mapping[str, int]) -> Scores:
    """Any of several labels, a label being predicted above 0.5; all but the accuracy are means over labels.

    `median_auroc_NAME` is that of the labels of a group.
    """
    chosen, truths = (found > 0.5).astype(int), targets.astype(int)
    precision, recall, f1, _ = precision_recall_fscore_support(truths, chosen, average="macro", zero_division=0.0)
    return {
        "accuracy": float((chosen == truths).mean()),
        "precision": float(precision),
        "recall": float(recall),
        "f1": float(f1),
        "mcc": _mean(matthews, truths, chosen),
        **_areas(truths, found),
        **_group_medians(truths, found, groups),
    }


def _group_medians(truths: np.ndarray, found: np.ndarray, groups: Mapping[str, int]) -> Scores:
    ends = np.cumsum(list(groups.values())).tolist()
    return {
        f"median_auroc_{name}": _auroc(truths[:, end - count : end], found[:, end - count : end], np.median)
        for (name, count), end in zip(groups.items(), ends, strict=True)
    }


def _auroc(truths: np.ndarray, found: np.ndarray, average: Callable[..., Any]) -> float:
    """Over the columns that hold both truths."""
    both = np.flatnonzero((truths.min(axis=0) == 0) & (truths.max(axis=0) == 1))
    values = [roc_auc_score(truths[:, column], found[:, column]) for column in both]
    return float(average(values)) if values else float("nan")


def _areas(truths: np.ndarray, found: np.ndarray) -> Scores:
    """Areas under the ROC and precision-recall curves, the mean over the columns that hold both truths."""
    both = (truths.min(axis=0) == 0) & (truths.max(axis=0) == 1)
    return {
        "auroc": _auroc(truths, found, np.mean),
        "auprc": _mean(average_precision_score, truths[:, both], found[:, both]),
    }


def _mean(metric: Callable[..., float], truths: np.ndarray, found: np.ndarray) -> float:
    values = [float(metric(truths[:, column], found[:, column])) for column in range(truths.shape[1])]
    return float(np.mean(values)) if values else float("nan")


def confusion(targets: np.ndarray, chosen: np.ndarray, classes: int) -> np.ndarray:
    """Counts [C, C]: row the class, column the predicted one."""
    counts = np.bincount(targets.astype(np.int64) * classes + chosen, minlength=classes * classes)
    return counts.reshape(classes, classes)


def matthews(targets: np.ndarray, chosen: np.ndarray) -> float:
    """Matthews' coefficient for any number of classes (Gorodkin 2004); 0 where all are of one class.

    scikit-learn's warns at every draw that holds one class alone.
    """
    counts = confusion(targets, chosen, int(max(targets.max(), chosen.max())) + 1).astype(np.float64)
    true, predicted, total = counts.sum(axis=1), counts.sum(axis=0), counts.sum()
    norm = np.sqrt((total**2 - predicted @ predicted) * (total**2 - true @ true))
    return float((np.trace(counts) * total - true @ predicted) / norm) if norm > 0 else 0.0


def _regression(targets: np.ndarray, found: np.ndarray) -> Scores:
    """Means over the outputs."""
    return {
        "mse": float(mean_squared_error(targets, found)),
        "r2": float(r2_score(targets, found)) if len(targets) > 1 else float("nan"),
        "pearson": _mean(_correlation, targets, found),
        "spearman": _mean(lambda one, other: _correlation(_ranks(one), _ranks(other)), targets, found),
    }


def _correlation(one: np.ndarray, other: np.ndarray) -> float:
    one, other = one - one.mean(), other - other.mean()
    norm = float(np.sqrt((one @ one) * (other @ other)))
    return float(one @ other) / norm if norm > 0 else float("nan")


def _ranks(values: np.ndarray) -> np.ndarray:
    """Ranks, equal values sharing the mean of theirs."""
    _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    middle: np.ndarray = last - (counts - 1) / 2
    return middle[inverse]
