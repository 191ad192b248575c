"""A fine-tuning run with its weights: from a checkpoint of its own, from those to start from, or from its seed."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from hyena_ds.config.load import read_yaml_text
from hyena_ds.downstream.best import BestScore
from hyena_ds.downstream.config import FineTuneConfig, ScoringConfig
from hyena_ds.downstream.model import TaskModel
from hyena_ds.downstream.parts import TaskParts
from hyena_ds.downstream.plan import PlannedFineTuning
from hyena_ds.downstream.run import FineTuningRun
from hyena_ds.engine.checkpoint import load_optimizer, load_parameters
from hyena_ds.engine.checkpoint_store import Checkpoint
from hyena_ds.errors import InputError
from hyena_ds.hub.pretrained import PretrainedModel, read_pretrained
from hyena_ds.hub.target_scale import without_scale
from hyena_ds.model.parameters import is_table
from hyena_ds.parallel.heartbeat import Heartbeat
from hyena_ds.training.build import build_engine, execution_of, sequence_part
from hyena_ds.training.resume import CHECKPOINTS_NAME, changed_values, find_checkpoint

# The sections that a complete run's results follow from, beside its examples.
SETTINGS = (
    "seed",
    "task",
    "decoder",
    "start",
    "batch",
    "stages",
    "optimizer",
    "class_weights",
    "language_loss",
    "cutout",
)


def read_start(config: FineTuneConfig) -> PretrainedModel | None:
    """The weights to start from; None from scratch. Raises InputError where `start.keep_head` finds no head."""
    if config.start.checkpoint is None:
        return None
    start = read_pretrained(config.start.checkpoint, filter_shift=config.start.filter_shift)
    if config.start.keep_head and start.head is None:
        raise InputError(
            f"start.keep_head=True and start.checkpoint={config.start.checkpoint} carries no head; set it to False"
        )
    return start


def check_head(config: FineTuneConfig, start: PretrainedModel | None, classes: Sequence[str]) -> None:
    """Raises InputError where the head that is to be kept is another task's."""
    head = start.head if start is not None and config.start.keep_head else None
    if head is None:
        return
    place = f"the head of start.checkpoint={config.start.checkpoint}"
    remedy = "set start.keep_head=False for a new head"
    if len(head.classes) != len(classes):
        raise InputError(f"{place} has {len(head.classes)} outputs, the task has {len(classes)}; {remedy}")
    if head.classes != tuple(classes):
        raise InputError(f"{place} knows {', '.join(head.classes)}, the task {', '.join(classes)}; {remedy}")
    if dataclasses.replace(head.decoder, dropout=config.decoder.dropout) != config.decoder:
        raise InputError(f"{place} reads {head.decoder}, the config says {config.decoder}; take its decoder section")


def find_own_checkpoint(planned: PlannedFineTuning) -> Checkpoint | None:
    """What the run goes on from; raises InputError where its directory holds a run of something else."""
    place = planned.directory / CHECKPOINTS_NAME

    def check(checkpoint: Checkpoint) -> None:
        _check_kind(checkpoint, planned, place)
        _check_examples(checkpoint, planned, place)
        if _is_complete(checkpoint, planned):
            _check_unchanged(checkpoint, planned, place)

    return find_checkpoint(planned, planned.shape.model, check)


def open_fine_tuning(
    planned: PlannedFineTuning, start: PretrainedModel | None, device: torch.device, heartbeat: Heartbeat
) -> FineTuningRun:
    """Build the model and, where the run directory holds a checkpoint, go on from it with the head it has."""
    config, directory = planned.config, planned.directory / CHECKPOINTS_NAME
    resumed = find_own_checkpoint(planned)
    sequence = sequence_part(planned.dimensions, planned.environment.rank)
    given = without_scale(resumed.parameters) if resumed is not None else _starting_tensors(planned, start)
    torch.manual_seed(config.seed)
    share_tables = not any(is_table(name) for name in given)
    model = TaskModel(planned.shape, execution_of(config, sequence), share_tables=share_tables)
    if resumed is None:  # a checkpoint of the run has its head, or is refused
        given = dict(model.score.named_parameters(prefix="score")) | given if given else {}
    if given:
        load_parameters(model, given, directory if resumed else str(config.start.checkpoint))
    parts = TaskParts(model, config.method, device, bf16=config.engine.computes_in_bf16(device.type))
    engine = build_engine(parts.trained, config, planned.schedule.total_steps, device)
    if resumed is not None:
        load_optimizer(engine, resumed)
    step, progress = (resumed.step, resumed.progress) if resumed is not None else (0, {})
    return FineTuningRun(planned, engine, parts, sequence, heartbeat, step=step, progress=progress)


def _starting_tensors(planned: PlannedFineTuning, start: PretrainedModel | None) -> dict[str, Tensor]:
    if start is None:
        return {}
    head = start.head.tensors if start.head is not None and planned.config.start.keep_head else {}
    if head and planned.scale is not None:
        head = planned.scale.unfolded(head)
    return {**start.parameters, **start.tables, **head}


def _is_complete(checkpoint: Checkpoint, planned: PlannedFineTuning) -> bool:
    """Whether no step is left to train."""
    best = BestScore.restored(planned.config.task.main_metric, checkpoint.progress["best"])
    return checkpoint.step == planned.schedule.total_steps or best.has_waited(planned.config.scoring.patience)


def _check_examples(checkpoint: Checkpoint, planned: PlannedFineTuning, place: Path) -> None:
    """Raises InputError where what trained may be what tests now."""
    if checkpoint.progress.get("examples", planned.examples) != planned.examples:
        raise InputError(
            f"the checkpoints in {place} are of other examples, or of another split of them, than the config's: what "
            "trained there may test here; choose another run_directory"
        )


def _check_unchanged(checkpoint: Checkpoint, planned: PlannedFineTuning, place: Path) -> None:
    """Raises InputError where a complete run would pass for one of other settings."""
    for name, before, after in changed_values(checkpoint, planned.config, SETTINGS):
        raise InputError(
            f"{place} is complete, with {name}={before}; the config says {after}, and no step is left to train so: "
            "choose another run_directory"
        )


def _check_kind(checkpoint: Checkpoint, planned: PlannedFineTuning, place: Path) -> None:
    """Raises InputError where the checkpoint is of another kind of run, or another thing is scored."""
    saved = read_yaml_text(checkpoint.config, str(place))
    if "task" not in saved:
        raise InputError(f"the checkpoints in {place} are of pretraining; choose another run_directory")
    before = tuple(saved["task"]["classes"])
    if before != planned.classes:
        raise InputError(
            f"the checkpoints in {place} are of the classes {', '.join(before)}, the task now has "
            f"{', '.join(planned.classes)}; choose another run_directory"
        )
    scored, scores = ScoringConfig.model_validate(saved.get("scoring", {})), planned.config.scoring
    for name, was, now in (
        ("task.kind", saved["task"]["kind"], planned.config.task.kind),
        ("method", saved.get("method"), planned.config.method),
        ("scoring.average_weights", scored.average_weights, scores.average_weights),
        ("scoring.calibrate", scored.calibrate, scores.calibrate),
    ):
        if was != now:
            raise InputError(
                f"the checkpoints in {place} are of {name}={was}, the config says {now}; choose another run_directory"
            )
