"""What a finished run leaves of its task: results.json, tables, plots, and an export with the head."""

import csv
import json
import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from hyena_ds.downstream.metrics import Predictions, bootstrap, score
from hyena_ds.downstream.outputs import probabilities
from hyena_ds.downstream.plan import PlannedFineTuning
from hyena_ds.downstream.plots import plot_predictions, plot_training
from hyena_ds.hub.export import export_huggingface
from hyena_ds.hub.run_directory import read_trained_model

RESULTS_NAME = "results.json"
TABLE_NAME = "results.csv"
EXPORT_NAME = "export"


def leave_results(planned: PlannedFineTuning, best_step: int, predictions: Mapping[str, Predictions]) -> list[str]:
    """Write tables, plots and the export of the best step, results.json last; returns what to tell of them."""
    directory, task = planned.directory, planned.config.task
    scores = {split: measure(planned, found) for split, found in predictions.items()}
    for split, found in predictions.items():
        write_predictions(directory / f"predictions_{split}.csv", planned, split, found)
    last = list(predictions)[-1]
    plot_predictions(directory, predictions[last], planned.classes, f"{task.name}, {last} set")
    plot_training(directory, task.main_metric)
    export = export_best(directory)
    write_results(directory, results_of(planned, best_step, scores))
    lines = [
        f"{split}: " + ", ".join(f"{metric} {_shown(values)}" for metric, values in measured.items())
        for split, measured in scores.items()
    ]
    auto_class = f"AutoModelFor{'Token' if task.kind == 'position' else 'Sequence'}Classification"
    return [
        *lines,
        f"done: {directory / RESULTS_NAME}; the model with its head is in {export}, open it with "
        f'{auto_class}.from_pretrained("{export}", trust_remote_code=True)',
    ]


def _shown(values: Mapping[str, float | None]) -> str:
    value, low, high = (values[name] for name in ("value", "low", "high"))
    if value is None:
        return "not defined"
    return f"{value:.4f}" + ("" if low is None else f" [{low:.4f}, {high:.4f}]")


def measure(planned: PlannedFineTuning, predictions: Predictions) -> dict[str, dict[str, float | None]]:
    """Each metric of a split: its value, and the bounds of its interval where the config asks for one."""
    scoring = planned.config.scoring
    intervals = bootstrap(predictions, scoring.bootstrap, scoring.confidence, planned.config.seed)
    measured = {}
    for name, value in score(predictions).items():
        low, high = intervals.get(name, (math.nan, math.nan))
        measured[name] = {"value": _defined(value), "low": _defined(low), "high": _defined(high)}
    return measured


def _defined(value: float) -> float | None:
    """JSON has no NaN."""
    return value if math.isfinite(value) else None


def results_of(planned: PlannedFineTuning, best_step: int, scores: dict[str, Any]) -> dict[str, Any]:
    """The content of results.json."""
    config = planned.config
    return {
        "task": config.task.name,
        "kind": config.task.kind,
        "classes": list(planned.classes),
        "source": config.task.source,
        "start": config.start.checkpoint or "scratch",
        "method": config.method,
        "decoder": config.decoder.mode,
        "seed": config.seed,
        "examples": {name: len(found) for name, found in planned.sets.items()},
        "notes": list(planned.notes),
        "metric": config.task.main_metric,
        "best_step": best_step,
        "scores": scores,
    }


def write_results(directory: Path, results: dict[str, Any]) -> None:
    """results.json, and its scores as the table results.csv."""
    rows = [
        (split, metric, *(values[name] for name in ("value", "low", "high")))
        for split, measured in results["scores"].items()
        for metric, values in measured.items()
    ]
    write_table(directory / TABLE_NAME, ("split", "metric", "value", "low", "high"), rows)
    write_json(directory / RESULTS_NAME, results)  # last: a run with results is done


def read_results(directory: Path) -> dict[str, Any]:
    """The content of a finished run's results.json, or of that above several runs."""
    found: dict[str, Any] = json.loads((directory / RESULTS_NAME).read_text(encoding="utf-8"))
    return found


def write_json(path: Path, values: dict[str, Any]) -> None:
    """JSON, complete or absent."""
    aside = path.with_suffix(".partial")
    aside.write_text(json.dumps(values, indent=2) + "\n", encoding="utf-8")
    aside.replace(path)


def write_table(path: Path, names: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    """A CSV file with a header line; floats to 6 digits."""
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(names)
        for row in rows:
            writer.writerow([f"{value:.6g}" if isinstance(value, float) else value for value in row])


def write_predictions(path: Path, planned: PlannedFineTuning, split: str, predictions: Predictions) -> None:
    """A row an example, or a position: where it was read, its target, and the probability or value of each output."""
    kind, classes = predictions.kind, planned.classes
    single = kind in ("binary", "multiclass", "position")
    targets = ["target"] if single else [f"target {name}" for name in classes]
    names = ["example", *(["position"] if kind == "position" else []), *targets, *classes]
    write_table(path, names, _prediction_rows(planned.places[split], predictions, classes if single else None))


def _prediction_rows(
    places: Sequence[str], predictions: Predictions, classes: Sequence[str] | None
) -> Iterable[list[Any]]:
    for place, target, output in zip(places, predictions.targets, predictions.outputs, strict=True):
        shares = probabilities(predictions.kind, np.atleast_2d(output)).tolist()
        if classes is None:
            yield [place, *target.tolist(), *shares[0]]
        elif predictions.kind != "position":
            yield [place, classes[int(target)], *shares[0]]
        else:
            for position, (number, row) in enumerate(zip(target, shares, strict=True)):
                yield [place, position, classes[number] if number >= 0 else ".", *row]


def export_best(directory: Path) -> Path:
    """An export of the run's best step with its head; returns its directory."""
    best, output = read_trained_model(directory), directory / EXPORT_NAME
    export_huggingface(
        best.parameters, best.tables, best.config, output, best.card, head=best.head, overwrite=output.exists()
    )
    return output
