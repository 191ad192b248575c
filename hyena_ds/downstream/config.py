"""The config of a whole fine-tuning run, made of its components' sections."""

from pathlib import Path
from typing import Any, Literal

from pydantic import Field, model_validator

from hyena_ds.config.section import Section
from hyena_ds.downstream.task import Method, SplitConfig, TaskConfig, TaskDataConfig
from hyena_ds.downstream.tasks.catalogue import complete_published
from hyena_ds.model.config import ModelConfig
from hyena_ds.model.decoder import DecoderConfig
from hyena_ds.training.config import TrainingConfig


class StartConfig(Section):
    """The weights to start from.

    `checkpoint` is a run, an export, published weights or a name on the hub; without it training starts from scratch.
    `keep_head` takes its head too, which must be of the same classes. The dropouts replace those of its model;
    `filter_shift` that of original weights, whose config does not say it (0.05).
    """

    checkpoint: str | None = None
    keep_head: bool = False
    filter_shift: float | None = None
    embed_dropout: float | None = Field(default=None, ge=0, lt=1)
    resid_dropout: float | None = Field(default=None, ge=0, lt=1)


class ExampleBatchConfig(Section):
    """`examples_per_step` is the whole step's, over all ranks and micro-batches."""

    examples_per_step: int = Field(gt=0)


class ExampleStageConfig(Section):
    """A stretch of training in passes over the training set (`epochs`) or in steps.

    Sequences above `length` bases are cut to their centre; by default none is, and in the last stage none may be.
    `micro_batch` is the most examples of one forward pass on one rank.
    """

    length: int | None = Field(default=None, gt=0)
    epochs: float | None = Field(default=None, gt=0)
    steps: int | None = Field(default=None, gt=0)
    micro_batch: int = Field(default=16, gt=0)

    @model_validator(mode="after")
    def _one_measure(self) -> "ExampleStageConfig":
        if (self.epochs is None) == (self.steps is None):
            raise ValueError("a stage is counted in epochs or in steps: give exactly one of them")
        return self


class ScoringConfig(Section):
    """The validation set is scored every `every_steps` steps (by default once an epoch); the best step is kept.

    `patience` ends the run after so many scores without a better one. `average_strands` averages the outputs of both
    strands. `average_weights` scores, keeps and exports not the weights of a step but their exponential moving average
    with this decay. `calibrate` fits a temperature and class biases to the validation set at each scoring; the head
    that is scored, kept and exported has them. `bootstrap` draws give the confidence intervals, in which a share of
    `confidence` lies; 0 draws: none.
    """

    every_steps: int | None = Field(default=None, gt=0)
    patience: int | None = Field(default=None, gt=0)
    average_strands: bool = False
    average_weights: float | None = Field(default=None, gt=0, lt=1)
    calibrate: bool = False
    bootstrap: int = Field(default=1000, ge=0)
    confidence: float = Field(default=0.95, gt=0, lt=1)


class FineTuneConfig(TrainingConfig):
    """One YAML file is one task on one model; `configs/finetune/` holds examples.

    What a config of a published task, `task.published`, leaves out of its sections `task` and `data` is as published,
    its files where launch/fetch.py leaves them; its run directory is named after it.

    `method` trains the whole model (`full`), the head on a backbone that stays (`frozen`), or the head on embeddings
    computed once (`probe`). `language_loss` adds so many times the mean cross-entropy of each training sequence's next
    bases to its loss (Radford et al. 2018, equation 5). `cutout` hides a stretch of each training sequence, of up to
    this share of its bases, anew every epoch. `seeds` repeats the run, with a mean and deviation over all.
    `class_weights` are `none`, `balanced`, or one number a class.
    """

    seeds: tuple[int, ...] = ()
    task: TaskConfig
    data: TaskDataConfig
    split: SplitConfig = SplitConfig()
    start: StartConfig = StartConfig()
    model: ModelConfig | None = None
    method: Method = "full"
    decoder: DecoderConfig = DecoderConfig()
    class_weights: Literal["none", "balanced"] | tuple[float, ...] = "none"
    language_loss: float = Field(default=0.0, ge=0)
    cutout: float = Field(default=0.0, ge=0, le=1)
    batch: ExampleBatchConfig
    stages: tuple[ExampleStageConfig, ...] = Field(min_length=1)
    scoring: ScoringConfig = ScoringConfig()

    @classmethod
    def completed(cls, values: dict[str, Any]) -> dict[str, Any]:
        return complete_published(values)

    @model_validator(mode="after")
    def _parts_fit(self) -> "FineTuneConfig":
        if (self.task.kind == "position") != (self.decoder.mode == "position"):
            raise ValueError(
                f"task.kind={self.task.kind} and decoder.mode={self.decoder.mode}: "
                "one class a position needs decoder.mode=position, and nothing else does"
            )
        if self.start.checkpoint is None and self.model is None:
            raise ValueError("start.checkpoint names no weights and there is no model section to start from scratch")
        if self.start.checkpoint is None and self.method != "full":
            raise ValueError(f"method={self.method} keeps the backbone, which is random without start.checkpoint")
        if self.start.checkpoint and Path(self.start.checkpoint).resolve() == Path(self.run_directory).resolve():
            raise ValueError(
                f"run_directory={self.run_directory} is start.checkpoint, and the run would be written among the "
                "weights that it starts from; choose another"
            )
        if self.language_loss > 0 and self.method != "full":
            raise ValueError(
                f"language_loss={self.language_loss} trains the backbone, which method={self.method} keeps; set it to 0"
            )
        if self.language_loss > 0 and self.task.kind == "position":
            raise ValueError(
                f"language_loss={self.language_loss} needs labels of whole sequences, not task.kind=position; set "
                "it to 0"
            )
        if self.cutout > 0 and self.method == "probe":
            raise ValueError(
                f"cutout={self.cutout} hides other bases every epoch and method=probe computes embeddings once; use "
                "method=frozen, or set cutout to 0"
            )
        if self.method == "probe" and self.decoder.mode == "position":
            raise ValueError("method=probe keeps one embedding a sequence; use method=frozen for one class a position")
        if self.task.kind == "regression" and not self.decoder.bias:
            raise ValueError("task.kind=regression needs the mean of its targets in a bias; set decoder.bias to true")
        if self.scoring.calibrate and (self.task.kind not in ("binary", "multiclass") or not self.decoder.bias):
            raise ValueError(
                f"scoring.calibrate sets the biases of single classes: it needs task.kind=binary or multiclass and "
                f"decoder.bias=true, not {self.task.kind} and {str(self.decoder.bias).lower()}; set it to false"
            )
        if self.class_weights != "none" and self.task.kind in ("regression", "multilabel"):
            raise ValueError(f"class_weights weigh single classes and task.kind={self.task.kind}; set them to none")
        return self
