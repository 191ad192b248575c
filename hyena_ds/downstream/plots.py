"""A run's figures: confusion, ROC and precision-recall curves, or values found, and how training went."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from sklearn.metrics import precision_recall_curve, roc_curve

from hyena_ds.downstream.metrics import Predictions, confusion
from hyena_ds.training.metrics import read_metrics

INCHES = (5.0, 4.2)
DOTS_PER_INCH = 130
# More classes than this make neither a readable legend nor readable counts.
READABLE = 12


def plot_predictions(directory: Path, predictions: Predictions, classes: Sequence[str], title: str) -> None:
    """The figures that fit the kind of task, as PNG files in `directory`."""
    targets, found, _ = predictions.rows()
    if predictions.kind == "regression":
        _values(directory / "values.png", targets, found, classes, title)
        return
    if predictions.kind != "multilabel":
        _confusion(directory / "confusion.png", confusion(targets, found.argmax(axis=1), len(classes)), classes, title)
        targets = (targets[:, None] == np.arange(len(classes))).astype(int)
    shown = [1] if len(classes) == 2 and predictions.kind != "multilabel" else list(range(len(classes)))[:READABLE]
    shown = [number for number in shown if 0 < targets[:, number].sum() < len(targets)]
    curves = [(classes[number], targets[:, number], found[:, number]) for number in shown]
    _curves(directory / "roc.png", "false positive rate", "true positive rate", title, curves, _roc)
    _curves(directory / "precision_recall.png", "recall", "precision", title, curves, _precision_recall)


def _roc(truth: np.ndarray, found: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    false_positives, true_positives, _ = roc_curve(truth, found)
    return false_positives, true_positives


def _precision_recall(truth: np.ndarray, found: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    precision, recall, _ = precision_recall_curve(truth, found)
    return recall, precision


def _curves(path: Path, across: str, up: str, title: str, curves: Sequence[Any], curve: Any) -> None:
    figure, axes = _figure(title, across, up)
    for name, truth, found in curves:
        axes.plot(*curve(truth, found), label=name, linewidth=1.5)
    axes.set_xlim(0, 1)
    axes.set_ylim(0, 1.02)
    if curves:
        axes.legend(fontsize=8)
    _save(figure, path)


def _confusion(path: Path, counts: np.ndarray, classes: Sequence[str], title: str) -> None:
    figure, axes = _figure(title, "predicted", "true")
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    if len(classes) <= READABLE:
        axes.set_xticks(range(len(classes)), classes, rotation=30, ha="right", fontsize=8)
        axes.set_yticks(range(len(classes)), classes, fontsize=8)
        for row, column in np.ndindex(*counts.shape):
            colour = "white" if shares[row, column] > 0.5 else "black"
            axes.text(column, row, f"{counts[row, column]:,}", ha="center", va="center", color=colour, fontsize=8)
    _save(figure, path)


def _values(path: Path, targets: np.ndarray, found: np.ndarray, classes: Sequence[str], title: str) -> None:
    figure, axes = _figure(title, "true", "predicted")
    for number, name in enumerate(classes[:READABLE]):
        axes.scatter(targets[:, number], found[:, number], s=6, alpha=0.6, label=name)
    axes.legend(fontsize=8)
    _save(figure, path)


def plot_training(run_directory: Path, metric: str) -> None:
    """training.png: the loss of each step, and the loss and main metric of each score."""
    lines = read_metrics(run_directory)
    figure, axes = _figure(run_directory.name, "step", "loss")
    _line(axes, lines, "loss", "training loss", color="tab:grey", linewidth=0.8)
    _line(axes, lines, "validation_loss", "validation loss", color="tab:blue", marker="o", markersize=3)
    right = axes.twinx()
    right.set_ylabel(metric)
    _line(right, lines, f"validation_{metric}", f"validation {metric}", color="tab:orange", marker="o", markersize=3)
    figure.legend(fontsize=8, loc="outside lower center", ncols=3)
    _save(figure, run_directory / "training.png")


def _line(axes: Any, lines: Sequence[dict[str, Any]], key: str, label: str, **style: Any) -> None:
    points = [(line["step"], line[key]) for line in lines if line.get(key) is not None]
    if points:
        axes.plot(*zip(*points, strict=True), label=label, **style)


def _figure(title: str, across: str, up: str) -> tuple[Figure, Any]:
    """Made without pyplot, which would look for a screen."""
    figure = Figure(figsize=INCHES, layout="constrained")
    axes = figure.subplots()
    axes.set_title(title, fontsize=9)
    axes.set_xlabel(across)
    axes.set_ylabel(up)
    return figure, axes


def _save(figure: Figure, path: Path) -> None:
    figure.savefig(path, dpi=DOTS_PER_INCH)
