"""The best scored state of a run: kept beside its checkpoints, found again after a stop."""

import math
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from hyena_ds.downstream.task import LOWER_IS_BETTER, Metric
from hyena_ds.engine.checkpoint_store import PREFIX, Checkpoint, list_checkpoints, write_checkpoint
from hyena_ds.hub.run_directory import BEST_NAME


@dataclass
class BestScore:
    """The best value of a metric so far, its step (0: none), and the scores since then that were no better."""

    metric: Metric
    value: float = math.nan
    step: int = 0
    worse: int = 0

    def offer(self, value: float, step: int) -> bool:
        """Count a score; whether it is the best so far. A value that is not defined is better than none."""
        better = value < self.value if self.metric in LOWER_IS_BETTER else value > self.value
        if self.step == 0 or better or (math.isnan(self.value) and not math.isnan(value)):
            self.value, self.step, self.worse = value, step, 0
            return True
        self.worse += 1
        return False

    def has_waited(self, patience: int | None) -> bool:
        """Whether so many scores have passed without a better one; never where there is no patience."""
        return patience is not None and self.worse >= patience

    def state(self) -> dict[str, Any]:
        """As JSON, which has no NaN."""
        value = None if math.isnan(self.value) else self.value
        return {"value": value, "step": self.step, "worse": self.worse}

    @classmethod
    def restored(cls, metric: Metric, state: dict[str, Any]) -> "BestScore":
        """The inverse of `state`."""
        value = math.nan if state["value"] is None else state["value"]
        return cls(metric, value, state["step"], state["worse"])


def best_path(directory: Path, step: int) -> Path:
    """Where the parameters of the best step of a run are."""
    return directory / BEST_NAME / f"{PREFIX}{step:08d}"


def keep_best(directory: Path, step: int, parameters: dict[str, Tensor], config: str, *, saved_best: int) -> None:
    """Write these parameters under `directory`/best and drop the others there.

    Those of `saved_best` stay: a run that goes on from its checkpoint knows that step as the best.
    """
    write_checkpoint(directory / BEST_NAME, Checkpoint(step=step, parameters=parameters, config=config))
    for path in list_checkpoints(directory / BEST_NAME):
        if path not in (best_path(directory, step), best_path(directory, saved_best)):
            shutil.rmtree(path)
