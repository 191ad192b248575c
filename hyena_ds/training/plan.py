"""What every run is, whatever it learns: a config on so many ranks, in stages."""

from dataclasses import dataclass
from pathlib import Path

from hyena_ds.config.storage import check_writable
from hyena_ds.data.plan import StepPlan
from hyena_ds.parallel.dimensions import ParallelDimensions
from hyena_ds.parallel.environment import ProcessEnvironment
from hyena_ds.training.config import TrainingConfig
from hyena_ds.training.stages import Schedule, Stage


@dataclass(frozen=True)
class PlannedRun:
    """A run that can start."""

    config: TrainingConfig
    environment: ProcessEnvironment
    dimensions: ParallelDimensions
    schedule: Schedule

    @property
    def directory(self) -> Path:
        return Path(self.config.run_directory)

    def step_plan(self, stage: Stage) -> StepPlan:
        """How the samples of this stage's steps are shared by ranks and micro-batches."""
        return stage.plan(self.dimensions.data_parallel_size)


def check_run_directory(directory: Path) -> None:
    """Raises InputError where nothing can be written under `directory`; makes nothing."""
    check_writable(directory, f"run_directory={directory}")
