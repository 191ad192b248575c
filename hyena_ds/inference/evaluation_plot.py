"""An evaluation as a picture: perplexity by context, and by class."""

from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from hyena_ds.inference.evaluation import Evaluation

CLASSES = ("species", "repeat", "GC of the window")


def plot_evaluation(evaluation: Evaluation, title: str, path: Path) -> None:
    """Write a PNG: left by bases of context, right by species, repeat and GC class."""
    figure = Figure(figsize=(11, 4.5), layout="constrained")
    left, right = figure.subplots(1, 2)
    _draw_contexts(evaluation, left)
    _draw_classes(evaluation, right)
    figure.suptitle(f"{title}: perplexity {evaluation.total.perplexity:.4f} over {evaluation.total.bases:,} bases")
    figure.savefig(path, dpi=150)


def _draw_contexts(evaluation: Evaluation, axes: Axes) -> None:
    known = evaluation.context_bases > 0
    values = np.exp(evaluation.context_nats[known] / evaluation.context_bases[known])
    axes.plot(np.flatnonzero(known), values, linewidth=0.4, color="lightgrey", label="each number")
    classes = [tally.perplexity for tally in evaluation.contexts().values()]
    axes.plot(2.0 ** np.arange(len(classes)) * 1.5, classes, marker=".", label="classes, each twice the one before")
    axes.axhline(evaluation.total.perplexity, color="grey", linestyle="--", label="all")
    axes.set(xscale="log", xlabel="bases of context in the window", ylabel="perplexity", ylim=(1, 6))
    axes.legend()


def _draw_classes(evaluation: Evaluation, axes: Axes) -> None:
    groups = evaluation.groups()
    bars = {name: tally.perplexity for by in CLASSES for name, tally in groups[by].items() if tally.bases}
    axes.barh(list(bars), list(bars.values()))
    axes.axvline(evaluation.total.perplexity, color="grey", linestyle="--")
    axes.invert_yaxis()
    axes.set(xlabel="perplexity", xlim=(1, None))
