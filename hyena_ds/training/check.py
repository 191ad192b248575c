"""All checks of a run that need no step: its stages, its shards, its ranks."""

import os
from dataclasses import dataclass
from pathlib import Path

import torch

from hyena_ds.data.plan import StepPlan
from hyena_ds.data.shards import ShardReader
from hyena_ds.data.stream import SampleStream, open_stream
from hyena_ds.errors import InputError
from hyena_ds.genome.index import ShardIndex, read_index
from hyena_ds.model.language_model import HyenaLanguageModel
from hyena_ds.model.parameters import count_parameters
from hyena_ds.parallel.dimensions import ParallelDimensions
from hyena_ds.parallel.environment import ProcessEnvironment
from hyena_ds.training.config import RunConfig
from hyena_ds.training.stages import Schedule, Stage, plan_stages


@dataclass(frozen=True)
class CheckedRun:
    """A run that can start: what its config means on this many processes and these shards."""

    config: RunConfig
    environment: ProcessEnvironment
    dimensions: ParallelDimensions
    schedule: Schedule
    index: ShardIndex
    shards: ShardReader

    @property
    def directory(self) -> Path:
        return Path(self.config.run_directory)

    def step_plan(self, stage: Stage) -> StepPlan:
        """How the samples of this stage's steps are shared by ranks and micro-batches."""
        return stage.plan(self.dimensions.data_parallel_size)

    def stream(self, stage: Stage) -> SampleStream:
        """The training windows of this stage in their order."""
        config = self.config
        return open_stream(self.index, config.data, length=stage.length, seed=config.seed, stage=stage.number)

    def summary(self) -> str:
        """What will happen, one line a stage."""
        with torch.device("meta"):
            model = HyenaLanguageModel(self.config.model)
        lines = [
            f"model: {count_parameters(model):,} parameters, l_max {self.config.model.l_max:,} tokens",
            f"data: {self.config.data.directory}, {self.index.bases('train'):,} training bases",
            f"ranks: {self.dimensions.data_parallel_size} data parallel · "
            f"{self.dimensions.sequence_parallel_size} sequence parallel",
        ]
        for stage in self.schedule.stages:
            lines.append(
                f"stage {stage.number}: {stage.steps:,} steps of {stage.samples:,} windows of {stage.length:,} bases, "
                f"{self.step_plan(stage).accumulation} micro-batches a rank"
            )
        return "\n".join(lines)


def dimensions_of(config: RunConfig, world_size: int, ranks_per_node: int) -> ParallelDimensions:
    """How so many ranks share the run; raises InputError where they cannot share a length or the channels."""
    dimensions = ParallelDimensions(world_size, config.parallel.sequence_parallel_size, ranks_per_node)
    dimensions.check_divides(config.model.d_model, "model.d_model")
    for number, stage in enumerate(config.stages):
        dimensions.check_divides(stage.length, f"stages.{number}.length")
    dimensions.check_divides(config.validation_length, "the validation length")
    return dimensions


def _check_run_directory(directory: Path) -> None:
    """Raises InputError where nothing can be written under `directory`; makes nothing."""
    existing = next(place for place in (directory, *directory.absolute().parents) if place.exists())
    if not existing.is_dir():
        raise InputError(f"run_directory={directory}: {existing} is a file; name another directory")
    if not os.access(existing, os.W_OK | os.X_OK):
        raise InputError(f"run_directory={directory}: {existing} cannot be written; name another directory")


def check_run(config: RunConfig, environment: ProcessEnvironment) -> CheckedRun:
    """Raises InputError at the first thing that would stop the run later."""
    _check_run_directory(Path(config.run_directory))
    directory = Path(config.data.directory)
    index = read_index(directory)
    checked = CheckedRun(
        config=config,
        environment=environment,
        dimensions=dimensions_of(config, environment.world_size, environment.local_world_size),
        schedule=plan_stages(config.stages, config.batch.tokens_per_step),
        index=index,
        shards=ShardReader(directory, index),
    )
    for stage in checked.schedule.stages:
        checked.step_plan(stage)
        checked.stream(stage)
    if config.validation.windows and not index.splits.get(config.validation.split):
        raise InputError(
            f"{directory} has no {config.validation.split} split; shard it with one, or set validation.windows=0"
        )
    return checked
