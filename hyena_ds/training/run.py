"""A run in progress, whatever it learns: its directory, engine and counters, and what is due at each step."""

import json
import time
from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, Protocol, TextIO

import torch
from torch import Tensor, nn

from hyena_ds.config.load import dump_config
from hyena_ds.engine.checkpoint import save_checkpoint
from hyena_ds.engine.checkpoint_store import newest_checkpoint
from hyena_ds.engine.distributed import sum_over_ranks
from hyena_ds.engine.engine import TrainingEngine
from hyena_ds.errors import DivergenceError, InputError
from hyena_ds.model.sequence import SequencePart
from hyena_ds.parallel.heartbeat import Heartbeat
from hyena_ds.training.lock import lock_directory
from hyena_ds.training.metrics import MetricsWriter
from hyena_ds.training.plan import PlannedRun
from hyena_ds.training.progress import Progress
from hyena_ds.training.resume import CHECKPOINTS_NAME
from hyena_ds.training.stages import Stage

CONFIG_NAME = "config.yaml"
STOP_MARKER = "stopped.json"


class StepData(Protocol):
    """One rank's part of a step: `valid` counts its targets in the loss, `tokens` its bases."""

    @property
    def valid(self) -> int: ...

    @property
    def tokens(self) -> int: ...


class Run(ABC):
    """Owns what changes while a run goes on; rank 0 alone writes to its directory.

    A kind of run says what it learns: its batches, its loss, and how it is validated. `fixed` are tensors that travel
    with the parameters and are not trained.
    """

    def __init__(
        self,
        planned: PlannedRun,
        engine: TrainingEngine,
        sequence: SequencePart,
        heartbeat: Heartbeat,
        *,
        step: int,
        progress: dict[str, Any],
        fixed: dict[str, Tensor],
    ) -> None:
        self.planned, self.engine, self.sequence, self.heartbeat = planned, engine, sequence, heartbeat
        self.environment, self.schedule = planned.environment, planned.schedule
        self.step, self.tokens, self.fixed = step, progress.get("tokens", 0), fixed
        self.skipped_steps, self._skipped_in_a_row = progress.get("skipped_steps", 0), 0
        self._saved_step = step
        self._started, self._first_step = time.perf_counter(), step
        is_main = self.environment.is_main
        self.progress = Progress(
            shown=is_main,
            total_steps=self.schedule.total_steps,
            first_step=step,
            every_steps=planned.config.logging.every_steps,
        )
        self._metrics: MetricsWriter | None = None
        self._lock: TextIO | None = None
        if is_main:
            try:
                self._open_directory(planned.directory)
            except InputError as error:
                error.rank = 0 if self.environment.world_size > 1 else None
                raise

    def _open_directory(self, directory: Path) -> None:
        config = self.planned.config
        self._lock = lock_directory(directory)
        (directory / STOP_MARKER).unlink(missing_ok=True)
        (directory / CONFIG_NAME).write_text(dump_config(config), encoding="utf-8")
        self._metrics = MetricsWriter(directory, config.logging, config.model_dump(mode="json"), self.step)

    @abstractmethod
    def load(self, stage: Stage, done: int) -> AbstractContextManager[Iterable[Any]]:
        """The steps of `stage` after the first `done`, each a StepData, read ahead."""

    @abstractmethod
    def micro_batches(self, batch: Any) -> Sequence[Any]:
        """What `loss` takes, one after the other, of one of the steps that `load` gives."""

    @abstractmethod
    def loss(self, module: nn.Module, micro_batch: Any, step: int) -> Tensor:
        """The summed loss of a micro-batch's targets in step `step` (from 1)."""

    @abstractmethod
    def describe(self, stage: Stage, loss: float, seconds: float) -> dict[str, Any]:
        """What the metrics of a step tell besides the numbers that every run has."""

    @abstractmethod
    def stage_summary(self, stage: Stage) -> str:
        """One line about the steps of a stage."""

    @abstractmethod
    def validation_due(self) -> bool:
        """Whether the step just completed is followed by a validation."""

    @abstractmethod
    def validate(self) -> None:
        """Score the model and record the result."""

    @abstractmethod
    def epoch(self, stage: Stage, sample: int) -> int:
        """Whole passes over the data before `sample` of a stage."""

    @abstractmethod
    def finish(self) -> None:
        """What follows the last step."""

    def satisfied(self) -> bool:
        """Whether the run ends before its last step."""
        return False

    def state(self) -> dict[str, Any]:
        """What a checkpoint keeps of this kind of run, as JSON."""
        return {}

    def record(self, values: dict[str, Any]) -> None:
        """The metrics of one training step, to the files and the screen."""
        self.write(values)
        pace = (time.perf_counter() - self._started) / (self.step - self._first_step)
        self.progress.step(values, pace * (self.schedule.total_steps - self.step))

    def write(self, values: dict[str, Any]) -> None:
        """A line of metrics, to the files alone."""
        if self._metrics is not None:
            self._metrics.write(values)

    def due(self, every_steps: int) -> bool:
        """Whether this step is a multiple of `every_steps`, or the last one."""
        return self.step % every_steps == 0 or self.step == self.schedule.total_steps

    def sum_counts(self, *counts: int) -> list[int]:
        """Each count of this rank's samples, summed over the ranks that hold different ones."""
        once = int(self.sequence.rank == 0)
        return [int(total) for total in sum_over_ranks(torch.tensor(counts) * once)]

    def advance(self, tokens: int, *, skipped: bool) -> None:
        """Count one completed step of `tokens` bases over all ranks."""
        self.step += 1
        self.tokens += tokens
        self.skipped_steps += skipped
        self._skipped_in_a_row = self._skipped_in_a_row + 1 if skipped else 0
        if skipped:
            self.progress.say(f"step {self.step:,} is skipped: its gradient is not finite; nothing was changed")

    def check_skipped(self) -> None:
        """Raises DivergenceError where too many steps in a row were skipped."""
        if self._skipped_in_a_row < self.planned.config.optimizer.max_skipped_steps:
            return
        path, _ = newest_checkpoint(self.planned.directory / CHECKPOINTS_NAME)
        good = f"the newest good checkpoint is {path}" if path else "there is no checkpoint yet"
        raise DivergenceError(
            f"{self._skipped_in_a_row} steps in a row, up to step {self.step:,}, had gradients that are not finite; "
            f"{good}: lower optimizer.learning_rate and start again"
        )

    def checkpoint_due(self) -> bool:
        """Skipped steps put a checkpoint off: copies of one state would push older ones out of `keep_last`."""
        if self.step == self.schedule.total_steps:
            return True
        every_steps = self.planned.config.checkpoint.every_steps
        return not self._skipped_in_a_row and self.step // every_steps > self._saved_step // every_steps

    def save(self, stage: Stage) -> None:
        """Write a checkpoint of the last completed step, unless the newest one is of that step."""
        if self.step == self._saved_step:
            return
        self.heartbeat.phase = f"saving a checkpoint of step {self.step}"
        sample = (self.step - stage.first_step) * stage.samples
        cursor = {"stage": stage.number, "epoch": self.epoch(stage, sample), "sample": sample}
        counters = {"tokens": self.tokens, "skipped_steps": self.skipped_steps}
        save_checkpoint(
            self.engine,
            self.planned.directory / CHECKPOINTS_NAME,
            step=self.step,
            tables=self.fixed,
            config=dump_config(self.planned.config),
            progress={"cursor": cursor, **counters, **self.state()},
            keep_last=self.planned.config.checkpoint.keep_last,
            is_main=self.environment.is_main,
        )
        self._saved_step = self.step

    def mark_stopped(self, reason: str) -> None:
        """Leave a marker that tells a job script to start the run again."""
        if self.environment.is_main:
            marker = {"step": self.step, "reason": reason}
            (self.planned.directory / STOP_MARKER).write_text(json.dumps(marker) + "\n", encoding="utf-8")
        self.progress.say(f"stopped by {reason} after step {self.step:,}; everything is saved: start the run again")

    def close(self) -> None:
        """Close the files and release the engine."""
        self.progress.close()
        if self._metrics is not None:
            self._metrics.close()
        if self._lock is not None:
            self._lock.close()
        self.engine.close()
