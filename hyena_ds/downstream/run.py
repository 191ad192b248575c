"""Fine-tuning as a run: labelled examples, a task's loss, and a score that keeps the best step."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from hyena_ds.config.load import dump_config
from hyena_ds.downstream.best import BestScore, keep_best
from hyena_ds.downstream.calibration import Calibration
from hyena_ds.downstream.dataset import ExampleBatch
from hyena_ds.downstream.loss import count_targets, loss_sum
from hyena_ds.downstream.metrics import Predictions, score
from hyena_ds.downstream.model import TaskModel
from hyena_ds.downstream.parts import TaskParts
from hyena_ds.downstream.plan import PlannedFineTuning
from hyena_ds.downstream.predict import Predictor, WholeModel
from hyena_ds.engine.checkpoint import load_parameters
from hyena_ds.engine.engine import TrainingEngine
from hyena_ds.engine.optimizer_state import AVERAGE, gather_parameters, gather_state, update_average
from hyena_ds.genome.alphabet import A
from hyena_ds.hub.target_scale import without_scale
from hyena_ds.model.dropout import dropout_keys
from hyena_ds.model.parameters import is_table
from hyena_ds.model.sequence import SequencePart
from hyena_ds.parallel.heartbeat import Heartbeat
from hyena_ds.training.build import execution_of
from hyena_ds.training.run import Run
from hyena_ds.training.stages import Stage

# Tokens that a GPU scores at once, where a micro-batch of training has fewer.
SCORED_TOKENS = 2**17


@dataclass(frozen=True)
class ExampleStep:
    """One rank's part of a step (`training.run.StepData`)."""

    batches: list[ExampleBatch]
    valid: int
    tokens: int


class FineTuningRun(Run):
    """Learns the labels of a task; `parts` are the model as its method splits it into what trains and what stays."""

    def __init__(
        self,
        planned: PlannedFineTuning,
        engine: TrainingEngine,
        parts: TaskParts,
        sequence: SequencePart,
        heartbeat: Heartbeat,
        *,
        step: int,
        progress: dict[str, Any],
    ) -> None:
        fixed = parts.fixed | (planned.scale.tensors() if planned.scale else {})
        super().__init__(planned, engine, sequence, heartbeat, step=step, progress=progress, fixed=fixed)
        self.fine_tuning, self.config, self.parts = planned, planned.config, parts
        metric = self.config.task.main_metric
        saved = progress.get("best")
        self.best = BestScore.restored(metric, saved) if saved else BestScore(metric)
        self._saved_best = self.best.step
        weights = planned.class_weights
        self._class_weights = None if weights is None else weights.to(engine.device)
        self.predictor = Predictor(
            forward=lambda tokens: parts.outputs(engine.evaluate, tokens),
            sequence=sequence,
            dimensions=planned.dimensions,
            data_rank=planned.dimensions.data_rank(self.environment.rank),
            batch=_scored_together(self.schedule.stages[-1], engine.device),
            l_max=planned.shape.model.l_max,
            device=engine.device,
        )

    def load(self, stage: Stage, done: int) -> AbstractContextManager[Iterator[ExampleStep]]:
        return nullcontext(self._step(stage, number) for number in range(done, stage.steps))

    def _step(self, stage: Stage, number: int) -> ExampleStep:
        """Every rank pads to the longest example of the whole step, so that shapes do not depend on the ranks."""
        planned, found = self.fine_tuning, self.fine_tuning.sets["train"]
        plan, stream = planned.step_plan(stage), planned.stream(stage)
        numbers, _ = stream.locate(plan.step_samples(number))
        width = found.width(numbers, stage.length, self.sequence.size, planned.shape.model.l_max)
        batches = []
        for samples in plan.micro_batches(number, planned.dimensions.data_rank(self.environment.rank)):
            numbers, reverse = stream.locate(samples)
            batch = found.batch(numbers, width, stage.length, reverse, samples)
            batches.append(stream.hide(batch, by_position=found.by_position))
        return ExampleStep(
            batches,
            valid=sum(count_targets(self.config.task.kind, batch.targets) for batch in batches),
            tokens=sum(int(np.count_nonzero(batch.tokens >= A)) for batch in batches),
        )

    def micro_batches(self, batch: ExampleStep) -> list[ExampleBatch]:
        return batch.batches

    def loss(self, module: nn.Module, micro_batch: ExampleBatch, step: int) -> Tensor:
        device = self.engine.device
        tokens = torch.from_numpy(micro_batch.tokens).to(device).long()
        targets = torch.from_numpy(micro_batch.targets).to(device)
        keys = dropout_keys(self.config.seed, step, torch.from_numpy(micro_batch.samples).to(device))
        if self.config.language_loss > 0:
            outputs, nats = module(tokens, keys, language=True)
            # The sum is divided by the step's targets, of which an example may have several.
            language: Tensor = self.config.language_loss * targets[0].numel() * nats.sum()
            return self._label_loss(outputs, targets) + language
        return self._label_loss(self.parts.outputs(module, tokens, keys), targets)

    def _label_loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
        if self.config.task.kind == "position":
            first = self.sequence.rank * outputs.shape[1]
            return loss_sum("position", outputs, targets[:, first : first + outputs.shape[1]], self._class_weights)
        if self.fine_tuning.scale is not None:
            targets = self.fine_tuning.scale.standard(targets)
        # Every rank of a sequence has its outputs; one of them counts.
        return loss_sum(self.config.task.kind, outputs, targets, self._class_weights) * float(self.sequence.rank == 0)

    def describe(self, stage: Stage, loss: float, seconds: float) -> dict[str, Any]:
        return {"epoch": (self.step - stage.first_step) * stage.samples / len(self.fine_tuning.sets["train"])}

    def stage_summary(self, stage: Stage) -> str:
        return (
            f"stage {stage.number}: {stage.steps:,} steps of {stage.samples:,} examples of up to {stage.length:,} "
            f"bases, scored every {self.fine_tuning.score_every:,} steps"
        )

    def epoch(self, stage: Stage, sample: int) -> int:
        return sample // len(self.fine_tuning.sets["train"])

    def advance(self, tokens: int, *, skipped: bool) -> None:
        super().advance(tokens, skipped=skipped)
        decay = self.config.scoring.average_weights
        if decay is not None and not skipped:
            update_average(self.engine, decay, self.step - self.skipped_steps)

    def validation_due(self) -> bool:
        return self.due(self.fine_tuning.score_every)

    def validate(self) -> None:
        """Score the validation set and keep the parameters where they are the best so far."""
        self.heartbeat.phase = f"scoring after step {self.step}"
        average = self._average()
        if average is not None:
            self.score_with(average, "the average of the weights")
        predictions, calibration = self.predict("valid"), None
        if self.config.scoring.calibrate:
            calibration = Calibration.fit(predictions.outputs, predictions.targets)
            predictions = replace(predictions, outputs=calibration.outputs(predictions.outputs))
        scores = score(predictions)
        mean_loss = self._mean_loss(predictions)
        if self.best.offer(scores[self.best.metric], self.step):
            kept = gather_parameters(self.engine) | self.fixed if average is None else average
            self._keep_best(kept if calibration is None else calibration.folded(kept))
        named = {f"validation_{name}": value for name, value in scores.items() if np.isfinite(value)}
        self.write({"step": self.step, "validation_loss": mean_loss, **named})
        self.progress.say(
            f"score at step {self.step:,}: {self.best.metric} {scores[self.best.metric]:.4f}, loss {mean_loss:.4f} on "
            f"{len(predictions.targets):,} examples; the best is {self.best.value:.4f} of step {self.best.step:,}"
        )

    def _mean_loss(self, predictions: Predictions) -> float:
        join = np.concatenate if predictions.kind == "position" else np.stack
        targets, outputs = join(predictions.targets), join(predictions.outputs)
        kind = self.config.task.kind
        parts = torch.from_numpy(outputs), torch.from_numpy(targets)
        if self.fine_tuning.scale is not None:
            parts = self.fine_tuning.scale.standard(parts[0]), self.fine_tuning.scale.standard(parts[1])
        total = loss_sum(kind, *parts)
        return float(total) / max(count_targets(kind, targets), 1)

    def score_with(self, parameters: dict[str, Tensor], place: Path | str) -> None:
        """Predict by these whole parameters from now on, which come from `place`: each rank has all of them."""
        given = without_scale(parameters)
        share_tables = not any(is_table(name) for name in given)
        execution = execution_of(self.config, self.sequence)
        model = TaskModel(self.fine_tuning.shape, execution, share_tables=share_tables)
        load_parameters(model, given, place)
        forward = WholeModel(model, self.engine.device, bf16=self.engine.bf16)
        self.predictor = replace(self.predictor, forward=forward)

    def _average(self) -> dict[str, Tensor] | None:
        """What is scored and kept instead of the present parameters; None where no average is kept, or none yet."""
        average = gather_state(self.engine, AVERAGE)
        return average | self.fixed if average else None

    def _keep_best(self, parameters: dict[str, Tensor]) -> None:
        if self.environment.is_main:
            config = dump_config(self.config)
            keep_best(self.planned.directory, self.step, parameters, config, saved_best=self._saved_best)

    def save(self, stage: Stage) -> None:
        super().save(stage)
        self._saved_best = self.best.step

    def predict(self, split: str) -> Predictions:
        """The outputs for a split of the present parameters, or of those of `score_with`; every rank must call it."""
        found = self.fine_tuning.sets[split]
        average = self.config.scoring.average_strands
        outputs = self.predictor.outputs(found, len(self.fine_tuning.classes), average_strands=average)
        if self.fine_tuning.scale is not None:
            mean, deviation = (part.numpy() for part in self.fine_tuning.scale.tensors().values())
            outputs = [row * deviation + mean for row in outputs]
        return Predictions(self.config.task.kind, found.targets, outputs, self.config.task.groups or {})

    def satisfied(self) -> bool:
        """Whether `scoring.patience` scores have passed without a better one."""
        return self.best.has_waited(self.config.scoring.patience)

    def state(self) -> dict[str, Any]:
        return {"best": self.best.state(), "examples": self.fine_tuning.examples}

    def finish(self) -> None:
        why = f"no better score in {self.best.worse} tries" if self.satisfied() else "all stages are done"
        self.progress.say(
            f"trained {self.step:,} steps, {why}; the best step is {self.best.step:,} "
            f"({self.best.metric} {self.best.value:.4f})"
        )


def _scored_together(stage: Stage, device: torch.device) -> int:
    """Examples of a batch that is scored, which needs less memory than one that trains."""
    return max(stage.micro_batch, SCORED_TOKENS // stage.length if device.type == "cuda" else 0)
