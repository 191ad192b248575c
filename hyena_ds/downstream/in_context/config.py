"""The config of a task that is asked in the model's own input."""

from typing import Any, Literal

from pydantic import Field, model_validator

from hyena_ds.config.section import Section
from hyena_ds.downstream.task import SplitConfig, TaskConfig, TaskDataConfig
from hyena_ds.downstream.tasks.catalogue import complete_published

MOST_SOFT_TOKENS = 32_768


class WeightsConfig(Section):
    """`checkpoint` and `filter_shift` as in the `start` section of a fine-tuning run."""

    checkpoint: str
    filter_shift: float | None = None


class TuningConfig(Section):
    """How what is tuned is tuned; clipped to a gradient norm of 1, without weight decay.

    `examples` are the first so many of the shuffled training set (by default all; 0 tunes nothing). A step takes
    `batch` times `accumulation` of them. `plateau` scores the validation set after every epoch, divides the learning
    rate by ten where its loss was no lower, and ends where two epochs before had no higher one; the best epoch is kept.
    """

    examples: int | None = Field(default=None, ge=0)
    epochs: int = Field(gt=0)
    batch: int = Field(default=2, gt=0)
    accumulation: int = Field(default=1, gt=0)
    learning_rate: float = Field(gt=0)
    plateau: bool = False


class InContextConfig(Section):
    """One YAML file is one task, asked as a sequence that ends where the model is to say the token of the class.

    `soft_prompt` puts `soft_tokens` learned vectors before it and leaves the model as it is; `few_shot` tunes the whole
    model. Either may show `shots` labelled examples of each class first. `evaluation_batch` are examples of a forward
    pass without gradients.
    """

    run_directory: str
    seed: int = Field(default=12345, ge=0, lt=2**63)
    task: TaskConfig
    data: TaskDataConfig
    split: SplitConfig = SplitConfig()
    start: WeightsConfig
    method: Literal["soft_prompt", "few_shot"]
    soft_tokens: int = Field(default=0, ge=0, le=MOST_SOFT_TOKENS)
    soft_token_dropout: float = Field(default=0.1, ge=0, lt=1)
    shots: int = Field(default=0, ge=0)
    tuning: TuningConfig
    evaluation_batch: int = Field(default=16, gt=0)
    precision: Literal["auto", "fp32", "bf16"] = "auto"

    @classmethod
    def completed(cls, values: dict[str, Any]) -> dict[str, Any]:
        return complete_published(values)

    @model_validator(mode="after")
    def _parts_fit(self) -> "InContextConfig":
        if self.task.kind not in ("binary", "multiclass"):
            raise ValueError(f"task.kind={self.task.kind} has no token a class; it must be binary or multiclass")
        if self.method == "few_shot" and self.soft_tokens:
            raise ValueError(f"soft_tokens={self.soft_tokens} belong to method=soft_prompt; set them to 0")
        return self

    @property
    def tunes(self) -> bool:
        """Whether anything is tuned; without it the model is only asked."""
        return self.tuning.examples != 0 and (self.method == "few_shot" or self.soft_tokens > 0)
