"""One run for each seed and fold, and the mean and deviation over them."""

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hyena_ds.downstream.config import FineTuneConfig
from hyena_ds.downstream.results import RESULTS_NAME, TABLE_NAME, read_results, write_json, write_table
from hyena_ds.downstream.task import LOWER_IS_BETTER


@dataclass(frozen=True)
class Member:
    """A run of its own, in a directory of its own where there are several."""

    config: FineTuneConfig
    fold: int | None


def members_of(config: FineTuneConfig) -> list[Member]:
    """The runs that a config asks for: every fold with every seed."""
    folds: list[int | None] = [None] if config.split.folds is None else list(range(config.split.folds))
    seeds = config.seeds or (config.seed,)
    several = len(folds) * len(seeds) > 1
    members = []
    for seed in seeds:
        for fold in folds:
            name = f"seed-{seed}" + ("" if fold is None else f"-fold-{fold}")
            directory = Path(config.run_directory) / name if several else Path(config.run_directory)
            update = {"seed": seed, "seeds": (), "run_directory": str(directory)}
            members.append(Member(config.model_copy(update=update), fold))
    return members


def summarise(config: FineTuneConfig, directories: Sequence[Path]) -> dict[str, Any]:
    """Mean and sample deviation of every metric over finished runs; writes results.json and results.csv above them."""
    found = [read_results(directory) for directory in directories]
    scores: dict[str, dict[str, Any]] = {}
    for split, metrics in found[0]["scores"].items():
        values = {name: [one["scores"][split][name]["value"] for one in found] for name in metrics}
        scores[split] = {name: _spread(several) for name, several in values.items()}
    directory = Path(config.run_directory)
    rows = [
        (split, name, spread["mean"], spread["deviation"], spread["runs"])
        for split, metrics in scores.items()
        for name, spread in metrics.items()
    ]
    write_table(directory / TABLE_NAME, ("split", "metric", "mean", "deviation", "runs"), rows)
    summary = {"task": config.task.name, "runs": [str(place) for place in directories], "scores": scores}
    write_json(directory / RESULTS_NAME, summary)
    return summary


def best_member(config: FineTuneConfig) -> Path:
    """The directory of the finished run with the best validation score, of all that a config asks for."""
    directories = [Path(member.config.run_directory) for member in members_of(config)]
    return max(directories, key=lambda directory: _merit(read_results(directory)))


def _merit(results: dict[str, Any]) -> float:
    metric = results["metric"]
    value = results["scores"]["valid"][metric]["value"]
    if value is None:
        return -math.inf
    return -float(value) if metric in LOWER_IS_BETTER else float(value)


def _spread(values: Sequence[float | None]) -> dict[str, Any]:
    defined = [value for value in values if value is not None and math.isfinite(value)]
    return {
        "mean": statistics.fmean(defined) if defined else None,
        "deviation": statistics.stdev(defined) if len(defined) > 1 else None,
        "runs": len(defined),
    }
