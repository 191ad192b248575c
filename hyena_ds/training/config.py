"""The config of a whole run, made of its components' sections."""

from pydantic import Field, model_validator

from hyena_ds.config.section import Section
from hyena_ds.data.config import DataConfig
from hyena_ds.engine.checkpoint_store import CheckpointConfig
from hyena_ds.engine.config import EngineConfig, OptimizerConfig
from hyena_ds.model.config import ModelConfig
from hyena_ds.parallel.dimensions import ParallelConfig
from hyena_ds.training.metrics import LoggingConfig
from hyena_ds.training.stages import BatchConfig, StageConfig
from hyena_ds.training.validation import ValidationConfig


class TrainingConfig(Section):
    """What every run has, whatever it learns."""

    run_directory: str
    seed: int = Field(2222, ge=0, lt=2**63)
    parallel: ParallelConfig = ParallelConfig()
    optimizer: OptimizerConfig = OptimizerConfig()
    engine: EngineConfig = EngineConfig()
    checkpoint: CheckpointConfig = CheckpointConfig()
    logging: LoggingConfig = LoggingConfig()


class RunConfig(TrainingConfig):
    """One YAML file is one pretraining run; `configs/` holds one for each published model."""

    model: ModelConfig
    data: DataConfig
    batch: BatchConfig
    stages: tuple[StageConfig, ...] = Field(min_length=1)
    validation: ValidationConfig = ValidationConfig()

    @model_validator(mode="after")
    def _lengths_fit(self) -> "RunConfig":
        for number, stage in enumerate(self.stages):
            if stage.length > self.model.l_max:
                raise ValueError(
                    f"stages.{number}.length={stage.length:,} is above model.l_max={self.model.l_max:,}; "
                    "shorten the stage, or set l_max to the final length + 2 before the first step"
                )
        if self.validation_length > self.model.l_max:
            raise ValueError(
                f"validation.length={self.validation_length:,} is above model.l_max={self.model.l_max:,}; shorten it"
            )
        if self.model.bidirectional:
            raise ValueError("model.bidirectional=True sees the next base; pretraining predicts it, so set it to False")
        return self

    @property
    def validation_length(self) -> int:
        """Bases of a validation window: the final stage's unless told."""
        return self.validation.length or self.stages[-1].length
