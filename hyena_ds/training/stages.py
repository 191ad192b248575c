"""Length stages: which step trains at which length, on how many samples."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from pydantic import Field, model_validator

from hyena_ds.config.section import Section
from hyena_ds.data.plan import StepPlan, samples_per_step


class BatchConfig(Section):
    """`tokens_per_step` is the whole step's, over all ranks and micro-batches."""

    tokens_per_step: int = Field(gt=0)


class StageConfig(Section):
    """A stretch of training at one window length, counted in optimizer steps or in tokens.

    `micro_batch` is the most windows that one forward pass may take on one rank.
    """

    length: int = Field(gt=0)
    steps: int | None = Field(default=None, gt=0)
    tokens: int | None = Field(default=None, gt=0)
    micro_batch: int = Field(default=1, gt=0)

    @model_validator(mode="after")
    def _one_measure(self) -> "StageConfig":
        if (self.steps is None) == (self.tokens is None):
            raise ValueError("a stage is counted in steps or in tokens: give exactly one of them")
        return self


@dataclass(frozen=True)
class Stage:
    """Steps `first_step` + 1 to `last_step` of the run, each of `samples` windows of `length` bases."""

    number: int
    first_step: int
    steps: int
    length: int
    samples: int
    micro_batch: int

    @property
    def last_step(self) -> int:
        return self.first_step + self.steps

    def plan(self, data_parallel_size: int) -> StepPlan:
        """How the samples of a step are shared; raises InputError where they cannot be."""
        return StepPlan(
            samples=self.samples,
            data_parallel_size=data_parallel_size,
            micro_batch=self.micro_batch,
            length=self.length,
        )


@dataclass(frozen=True)
class Schedule:
    """All stages of a run, in order."""

    stages: tuple[Stage, ...]

    @property
    def total_steps(self) -> int:
        return self.stages[-1].last_step

    def remaining(self, completed_steps: int) -> list[tuple[Stage, int]]:
        """The stages that are left after `completed_steps`, each with the steps already done in it."""
        return [
            (stage, max(completed_steps - stage.first_step, 0))
            for stage in self.stages
            if stage.last_step > completed_steps
        ]


def plan_stages(stages: Sequence[StageConfig], tokens_per_step: int) -> Schedule:
    """The steps and samples of each stage; independent of the world size."""
    planned: list[Stage] = []
    first_step = 0
    for number, config in enumerate(stages):
        samples = samples_per_step(tokens_per_step, config.length)
        steps = config.steps or math.ceil((config.tokens or 0) / (samples * config.length))
        planned.append(Stage(number, first_step, steps, config.length, samples, config.micro_batch))
        first_step += steps
    return Schedule(tuple(planned))
