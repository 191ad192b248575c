"""A run in progress: its directory, engine and counters, and what is due at each step."""

import json
import time
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any, TextIO

import torch
from torch import Tensor

from hyena_ds.config.load import dump_config, read_yaml_text
from hyena_ds.data.batch import BatchReader, WindowReader
from hyena_ds.data.loader import StepLoader
from hyena_ds.data.windows import validation_windows
from hyena_ds.engine.checkpoint import load_optimizer, load_parameters, save_checkpoint
from hyena_ds.engine.checkpoint_store import Checkpoint, newest_checkpoint, read_checkpoint
from hyena_ds.engine.distributed import sum_over_ranks
from hyena_ds.engine.engine import TrainingEngine
from hyena_ds.errors import DivergenceError, InputError
from hyena_ds.model.config import ModelConfig
from hyena_ds.model.parameters import carried_tables, is_table
from hyena_ds.model.sequence import SequencePart
from hyena_ds.parallel.heartbeat import Heartbeat
from hyena_ds.training.build import build_engine, build_model, sequence_part
from hyena_ds.training.check import CheckedRun
from hyena_ds.training.config import RunConfig
from hyena_ds.training.lock import lock_directory
from hyena_ds.training.metrics import MetricsWriter
from hyena_ds.training.progress import Progress
from hyena_ds.training.stages import Stage
from hyena_ds.training.validation import report, score_windows

CONFIG_NAME = "config.yaml"
CHECKPOINTS_NAME = "checkpoints"
STOP_MARKER = "stopped.json"
# Model settings that may change in the middle of a run.
TRAINING_ONLY = ("embed_dropout", "resid_dropout", "hyena_dropout", "initializer_range")


class Run:
    """Owns what changes while a run goes on; rank 0 alone writes to its directory."""

    def __init__(
        self,
        checked: CheckedRun,
        engine: TrainingEngine,
        sequence: SequencePart,
        heartbeat: Heartbeat,
        *,
        step: int,
        progress: dict[str, Any],
        tables: dict[str, Tensor],
    ) -> None:
        self.checked, self.engine, self.sequence, self.heartbeat = checked, engine, sequence, heartbeat
        self.config, self.environment, self.schedule = checked.config, checked.environment, checked.schedule
        self.step, self.tokens, self._tables = step, progress.get("tokens", 0), tables
        self.skipped_steps, self._skipped_in_a_row = progress.get("skipped_steps", 0), 0
        self._saved_step = step
        self._started, self._first_step = time.perf_counter(), step
        is_main = self.environment.is_main
        self.progress = Progress(
            shown=is_main,
            total_steps=self.schedule.total_steps,
            first_step=step,
            every_steps=self.config.logging.every_steps,
        )
        self._metrics: MetricsWriter | None = None
        self._lock: TextIO | None = None
        if is_main:
            try:
                self._open_directory(checked.directory)
            except InputError as error:
                error.rank = 0 if self.environment.world_size > 1 else None
                raise

    def _open_directory(self, directory: Path) -> None:
        self._lock = lock_directory(directory)
        (directory / STOP_MARKER).unlink(missing_ok=True)
        (directory / CONFIG_NAME).write_text(dump_config(self.config), encoding="utf-8")
        values = self.config.model_dump(mode="json")
        self._metrics = MetricsWriter(directory, self.config.logging, values, self.step)

    def record(self, values: dict[str, Any]) -> None:
        """The metrics of one training step, to the files and the screen."""
        self._write(values)
        pace = (time.perf_counter() - self._started) / (self.step - self._first_step)
        self.progress.step(values, pace * (self.schedule.total_steps - self.step))

    def _write(self, values: dict[str, Any]) -> None:
        if self._metrics is not None:
            self._metrics.write(values)

    def _due(self, every_steps: int) -> bool:
        return self.step % every_steps == 0 or self.step == self.schedule.total_steps

    def load(self, stage: Stage, done: int) -> StepLoader:
        """The steps of `stage` after the first `done`, read ahead."""
        checked, config = self.checked, self.config
        return StepLoader(
            BatchReader(checked.shards, checked.stream(stage)),
            checked.step_plan(stage),
            rank=checked.dimensions.data_rank(self.environment.rank),
            steps=stage.steps,
            first_step=done,
            ignore_n=config.data.ignore_n,
        )

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
        if self._skipped_in_a_row < self.config.optimizer.max_skipped_steps:
            return
        path, _ = newest_checkpoint(self.checked.directory / CHECKPOINTS_NAME)
        good = f"the newest good checkpoint is {path}" if path else "there is no checkpoint yet"
        raise DivergenceError(
            f"{self._skipped_in_a_row} steps in a row, up to step {self.step:,}, had gradients that are not finite; "
            f"{good}: lower optimizer.learning_rate and start again"
        )

    def validation_due(self) -> bool:
        return self.config.validation.windows > 0 and self._due(self.config.validation.every_steps)

    def checkpoint_due(self) -> bool:
        """Skipped steps put a checkpoint off: copies of one state would push older ones out of `keep_last`."""
        if self.step == self.schedule.total_steps:
            return True
        every_steps = self.config.checkpoint.every_steps
        return not self._skipped_in_a_row and self.step // every_steps > self._saved_step // every_steps

    def validate(self) -> None:
        """Score the fixed windows of every species and record the result."""
        self.heartbeat.phase = f"validating after step {self.step}"
        config, last = self.config, self.schedule.stages[-1]
        length = config.validation_length
        batch = max(last.micro_batch * last.length // length, 1)
        found = validation_windows(self.checked.index, config.validation.split, length, config.validation.windows)
        scores = {
            species: score_windows(
                self.engine.evaluate,
                WindowReader(self.checked.shards),
                windows,
                chosen,
                data_parallel_size=self.checked.dimensions.data_parallel_size,
                data_rank=self.checked.dimensions.data_rank(self.environment.rank),
                sequence=self.sequence,
                batch=batch,
                device=self.engine.device,
            )
            for species, (windows, chosen) in found.items()
        }
        line = report(self.step, scores)
        self._write(line)
        self.progress.say(
            f"validation at step {self.step:,}: perplexity {line['validation_perplexity']:.4f}, "
            f"{line['bits_per_base']:.4f} bits a base on {line['windows']:,} windows of {length:,} bases"
        )

    def save(self, stage: Stage) -> None:
        """Write a checkpoint of the last completed step, unless the newest one is of that step."""
        if self.step == self._saved_step:
            return
        self.heartbeat.phase = f"saving a checkpoint of step {self.step}"
        sample = (self.step - stage.first_step) * stage.samples
        cursor = {"stage": stage.number, "epoch": self.checked.stream(stage).epoch(sample), "sample": sample}
        save_checkpoint(
            self.engine,
            self.checked.directory / CHECKPOINTS_NAME,
            step=self.step,
            tables=self._tables,
            config=dump_config(self.config),
            progress={"cursor": cursor, "tokens": self.tokens, "skipped_steps": self.skipped_steps},
            keep_last=self.config.checkpoint.keep_last,
            is_main=self.environment.is_main,
        )
        self._saved_step = self.step

    def mark_stopped(self, reason: str) -> None:
        """Leave a marker that tells a job script to start the run again."""
        if self.environment.is_main:
            marker = {"step": self.step, "reason": reason}
            (self.checked.directory / STOP_MARKER).write_text(json.dumps(marker) + "\n", encoding="utf-8")
        self.progress.say(f"stopped by {reason} after step {self.step:,}; everything is saved: start the run again")

    def finish(self) -> None:
        """Say what can be done with the finished run."""
        self.progress.say(
            f"done: {self.step:,} steps, {self.tokens:,} bases. Next: "
            f"python launch/export.py --checkpoint {self.checked.directory} --output hf/{self.checked.directory.name}"
        )

    def close(self) -> None:
        """Close the files and release the engine."""
        self.progress.close()
        if self._metrics is not None:
            self._metrics.close()
        if self._lock is not None:
            self._lock.close()
        self.engine.close()


def open_run(checked: CheckedRun, device: torch.device, heartbeat: Heartbeat) -> Run:
    """Build the model and, where the run directory holds a checkpoint, go on from it."""
    resumed = _find_checkpoint(checked)
    sequence = sequence_part(checked.dimensions, checked.environment.rank)
    share_tables = resumed is None or not any(is_table(name) for name in resumed.parameters)
    model = build_model(checked.config, sequence, share_tables=share_tables)
    if resumed is not None:
        load_parameters(model, resumed, checked.directory / CHECKPOINTS_NAME)
    tables = carried_tables(model)
    engine = build_engine(model, checked.config, checked.schedule.total_steps, device)
    if resumed is not None:
        load_optimizer(engine, resumed)
    step, progress = (resumed.step, resumed.progress) if resumed is not None else (0, {})
    return Run(checked, engine, sequence, heartbeat, step=step, progress=progress, tables=tables)


def _find_checkpoint(checked: CheckedRun) -> Checkpoint | None:
    """The newest good checkpoint of the run directory; says which it is and why others were passed over."""
    directory = checked.directory / CHECKPOINTS_NAME
    path, passed_over = newest_checkpoint(directory)
    if checked.environment.is_main:
        for line in passed_over:
            print(line, flush=True)
        if path is not None:
            print(f"resuming from {path}", flush=True)
    if path is None:
        return None
    checkpoint = read_checkpoint(path)
    if checkpoint.step > checked.schedule.total_steps:
        raise InputError(
            f"{path} is after step {checkpoint.step:,}, the config's stages end at {checked.schedule.total_steps:,}; "
            "add steps, or choose another run_directory"
        )
    _check_model(checkpoint, checked, path)
    if checked.environment.is_main:
        for line in _changes(checkpoint, checked.config):
            print(line, flush=True)
    return checkpoint


def _changes(checkpoint: Checkpoint, config: RunConfig) -> Iterator[str]:
    """A line for each value of what is trained that is another than before the checkpoint."""
    saved = read_yaml_text(checkpoint.config, "the checkpoint")
    now = read_yaml_text(dump_config(config), "the config")
    for section in ("seed", "data", "batch", "stages", "optimizer"):
        before, after = saved.get(section), now[section]
        if isinstance(before, dict):
            for key in sorted(before.keys() & after.keys()):
                if before[key] != after[key]:
                    yield f"{section}.{key} was {before[key]} before the checkpoint and is {after[key]} from here on"
        elif before is not None and before != after:
            yield f"{section} was {before} before the checkpoint and is {after} from here on"


def _check_model(checkpoint: Checkpoint, checked: CheckedRun, path: Path) -> None:
    """Raises InputError where the checkpoint's model computes another function than the config's."""
    saved = _identity(ModelConfig(**read_yaml_text(checkpoint.config, str(path))["model"]))
    for name, value in _identity(checked.config.model).items():
        if saved[name] != value:
            raise InputError(
                f"checkpoint {path} is another model's: model.{name} is {saved[name]} there and {value} in the config; "
                "choose another run_directory or take its model section"
            )


def _identity(model: ModelConfig) -> dict[str, Any]:
    """What two configs of one model share."""
    values = asdict(model) | {"d_inner": model.inner_width}
    return {name: value for name, value in values.items() if name not in TRAINING_ONLY}
