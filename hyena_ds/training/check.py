"""All checks of a pretraining run that need no step: its stages, its shards, its ranks."""

from dataclasses import dataclass
from pathlib import Path

import torch

from hyena_ds.data.shards import ShardReader
from hyena_ds.data.stream import SampleStream, open_stream
from hyena_ds.errors import InputError
from hyena_ds.genome.index import ShardIndex, read_index
from hyena_ds.model.language_model import HyenaLanguageModel
from hyena_ds.model.parameters import count_parameters
from hyena_ds.parallel.dimensions import ParallelDimensions
from hyena_ds.parallel.environment import ProcessEnvironment
from hyena_ds.training.config import RunConfig
from hyena_ds.training.plan import PlannedRun, check_run_directory
from hyena_ds.training.stages import Stage, plan_stages


@dataclass(frozen=True)
class CheckedRun(PlannedRun):
    """A pretraining run that can start: what its config means on this many processes and these shards."""

    config: RunConfig
    index: ShardIndex
    shards: ShardReader

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


def check_run(config: RunConfig, environment: ProcessEnvironment) -> CheckedRun:
    """Raises InputError at the first thing that would stop the run later."""
    check_run_directory(Path(config.run_directory))
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
