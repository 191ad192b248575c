"""What the runs of benchmarks/downstream.py amount to: mean and deviation over seeds, as values and as figures."""

import math
import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from benchmarks.downstream_tasks import TASKS, aside_of

Row = dict[str, Any]
Summary = dict[str, dict[str, Any]]
COLOURS = {"pretrained": "C0", "scratch": "C1", "CNN": "C2", "k-mers": "C3"}
PANELS = 4  # in a row


def chosen(rows: Sequence[Row], metric: str) -> dict[str, float]:
    """The setting with the best validation score, of several the smallest, in whatever order they were done."""

    def merit(row: Row) -> float:
        value = row["valid"][metric]
        return -math.inf if value is None or math.isnan(value) else value

    setting: dict[str, float] = max(sorted(rows, key=lambda row: list(row["setting"].values())), key=merit)["setting"]
    return setting


def summarise(rows: Sequence[Row], seeds: Sequence[int]) -> Summary:
    """By task and model the test scores of all seeds with the chosen setting, on all and on part of the training set.

    A model is left out of a task until each of its seeds is done with the setting that the first one chose.
    """
    found: Summary = {}
    for task in dict.fromkeys(row["task"] for row in rows):
        metric = TASKS[task].metric
        of_task = [row for row in rows if row["task"] == task]
        models = {}
        for model in dict.fromkeys(row["model"] for row in of_task):
            own = [row for row in of_task if row["model"] == model]
            first = [row for row in own if row["seed"] == seeds[0] and row["train"] is None]
            if not first:
                continue
            setting = chosen(first, metric)
            curve = _curve([row for row in own if row["setting"] == setting], metric, len(seeds))
            if "all" in curve:
                models[model] = {"setting": setting, **curve.pop("all"), "curve": curve}
        if "pretrained" in models and "scratch" in models:
            models["pretrained"]["over_scratch"] = _difference(of_task, models, metric)
        if models:
            found[task] = {"metric": metric, "models": models}
    return found


def _difference(rows: Sequence[Row], models: dict[str, Any], metric: str) -> dict[str, float]:
    """Mean and sample deviation of what pretraining adds with the same seed, which is the same test set."""
    values = [
        {row["seed"]: row["test"][metric] for row in rows if (row["model"], row["setting"], row["train"]) == wanted}
        for wanted in ((model, models[model]["setting"], None) for model in ("pretrained", "scratch"))
    ]
    added = [value - values[1][seed] for seed, value in values[0].items()]
    return {"mean": statistics.fmean(added), "deviation": statistics.stdev(added)}


def _curve(rows: Sequence[Row], metric: str, runs: int) -> dict[str, dict[str, float]]:
    """Mean and sample deviation by size of the training set, for sizes of which all runs are done."""
    sizes: dict[str, list[float]] = {}
    for row in rows:
        sizes.setdefault(str(row["train"] or "all"), []).append(row["test"][metric])
    return {
        size: {"mean": statistics.fmean(values), "deviation": statistics.stdev(values)}
        for size, values in sizes.items()
        if len(values) == runs
    }


def print_summary(summary: Summary) -> None:
    """A line a task and model."""
    for task, found in summary.items():
        for model, one in found["models"].items():
            print(
                f"{task:12}{model:12}{found['metric']:10}{one['mean']:.4f} ± {one['deviation']:.4f}  {one['setting']}"
            )


def plot_bars(summary: Summary, path: Path) -> None:
    """A group of bars a task; whiskers are one deviation over the seeds."""
    figure = Figure(figsize=(2.0 + 1.6 * len(summary), 4.2), layout="constrained")
    axes = figure.subplots()
    for place, found in enumerate(summary.values()):
        for number, model in enumerate(model for model in COLOURS if model in found["models"]):
            one = found["models"][model]
            axes.bar(
                place + 0.2 * (number - 1.5), one["mean"], 0.18, yerr=one["deviation"], capsize=2, color=COLOURS[model]
            )
    for model, colour in COLOURS.items():
        axes.bar(0, 0, color=colour, label=model)
    axes.set_xticks(range(len(summary)), [f"{task}\n{found['metric']}" for task, found in summary.items()])
    axes.set_ylabel("test score")
    figure.legend(fontsize=8, loc="outside upper center", ncols=len(COLOURS))
    _save(figure, path)


def plot_curves(summary: Summary, path: Path) -> None:
    """The test score over the labelled examples that trained, a panel a task; all of them stand at the right."""
    columns = min(len(summary), PANELS)
    rows = -(-len(summary) // columns)
    figure = Figure(figsize=(3.2 * columns, 3.2 * rows), layout="constrained")
    panels = list(figure.subplots(rows, columns, squeeze=False).flat)
    for axes in panels[len(summary) :]:
        axes.remove()
    for axes, (task, found) in zip(panels, summary.items(), strict=False):
        sizes = sorted({int(size) for one in found["models"].values() for size in one["curve"]})
        ticks = [f"{size:,}" for size in sizes] + ["all"]
        for model, one in found["models"].items():
            points = [one["curve"].get(str(size)) for size in sizes] + [one]
            shown = [(place, point) for place, point in enumerate(points) if point is not None]
            means, deviations = ([point[name] for _, point in shown] for name in ("mean", "deviation"))
            places = [place for place, _ in shown]
            axes.errorbar(places, means, deviations, marker=".", capsize=2, color=COLOURS[model], label=model)
        axes.set_xticks(range(len(ticks)), ticks)
        axes.set(title=task, xlabel="labelled examples", ylabel=f"test {found['metric']}")
    panels[0].legend(fontsize=7)
    _save(figure, path)


def _save(figure: Figure, path: Path) -> None:
    figure.savefig(aside_of(path), dpi=150, format="png")
    aside_of(path).replace(path)
