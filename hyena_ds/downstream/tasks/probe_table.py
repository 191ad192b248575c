"""One probe on every task of the Nucleotide Transformer: the table of Helical's model card from any weights."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hyena_ds.config.load import build_config
from hyena_ds.downstream.call import fine_tune_here
from hyena_ds.downstream.config import FineTuneConfig
from hyena_ds.downstream.results import write_table
from hyena_ds.downstream.task import Metric
from hyena_ds.downstream.tasks.entry import PublishedTask
from hyena_ds.downstream.tasks.nucleotide_transformer import PAPER

COLUMNS = ("task", "metric", "value", "low", "high", "paper")


@dataclass(frozen=True)
class ProbeRow:
    """The test score of a task with its interval, in percent, and that of the HyenaDNA paper, fine-tuned."""

    task: str
    metric: Metric
    value: float | None
    low: float | None
    high: float | None
    paper: float | None


def probe_config(
    values: Mapping[str, Any], task: PublishedTask, model: str, data: Path, output: Path
) -> FineTuneConfig:
    """The config `values`, such as those of probe_helical.yaml, on another task, as `launch/fetch.py` leaves it."""
    changed = {
        **values,
        "run_directory": str(output / task.name.split("/")[1]),
        "task": {"published": task.name},
        "data": task.sections(data)["data"],
        "start": {**values.get("start", {}), "checkpoint": model},
    }
    return build_config(changed, FineTuneConfig, task.name)


def probe(config: FineTuneConfig) -> ProbeRow:
    """Run the probe, or open it where it is finished."""
    _, results = fine_tune_here(config)
    metric = config.task.main_metric
    score = results["scores"]["test"][metric]
    value, low, high = (None if score[key] is None else 100 * score[key] for key in ("value", "low", "high"))
    return ProbeRow(config.task.name, metric, value, low, high, PAPER.get(str(config.task.published)))


def write_probe_table(path: Path, rows: Sequence[ProbeRow]) -> None:
    """CSV, a row a task."""
    write_table(path, COLUMNS, [[getattr(row, name) for name in COLUMNS] for row in rows])
