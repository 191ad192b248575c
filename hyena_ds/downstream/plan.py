"""Everything about a fine-tuning run that is decided before its first step, alike on every rank."""

import dataclasses
import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from hyena_ds.downstream.config import ExampleStageConfig, FineTuneConfig
from hyena_ds.downstream.dataset import ExampleSet, ExampleStream
from hyena_ds.downstream.example import Example
from hyena_ds.downstream.labels import LabelEncoder, find_classes
from hyena_ds.downstream.loss import class_weights
from hyena_ds.downstream.model import TaskShape
from hyena_ds.downstream.read import named_classes
from hyena_ds.downstream.split import SPLITS, Split, split_examples
from hyena_ds.errors import InputError, listed
from hyena_ds.hub.pretrained import PretrainedModel
from hyena_ds.hub.target_scale import TargetScale
from hyena_ds.model.config import ModelConfig
from hyena_ds.parallel.dimensions import ParallelDimensions
from hyena_ds.parallel.environment import ProcessEnvironment
from hyena_ds.training.plan import PlannedRun
from hyena_ds.training.stages import Schedule, Stage


@dataclass(frozen=True)
class PlannedFineTuning(PlannedRun):
    """A fine-tuning run that can start; its config holds the model and the classes, wherever they came from.

    `sets` are the examples of each split, `places` where each was read; `scale` is that of what regression learns.
    """

    config: FineTuneConfig
    shape: TaskShape
    classes: tuple[str, ...]
    sets: dict[str, ExampleSet]
    places: dict[str, list[str]]
    class_weights: Tensor | None
    scale: TargetScale | None
    notes: tuple[str, ...]

    @cached_property
    def examples(self) -> str:
        """What tells these examples in these splits from others; of windows that stay in their genome the lengths."""
        digest = hashlib.sha256()
        for name, found in self.sets.items():
            digest.update(f"{name} {[len(tokens) for tokens in found.tokens]}".encode())
            for tokens, target in zip(found.tokens, found.targets, strict=True):
                digest.update(np.asarray(target).tobytes())
                if isinstance(tokens, np.ndarray):
                    digest.update(tokens.tobytes())
        return digest.hexdigest()[:16]

    def stream(self, stage: Stage) -> ExampleStream:
        """The training examples of this stage in their order."""
        config = self.config
        return ExampleStream(
            len(self.sets["train"]), config.seed, stage.number, config.data.reverse_complement, config.cutout
        )

    @property
    def score_every(self) -> int:
        """Steps between two scores of the validation set."""
        asked = self.config.scoring.every_steps
        return asked or math.ceil(len(self.sets["train"]) / self.config.batch.examples_per_step)

    def summary(self) -> str:
        """What will happen, one line a fact."""
        task, counts = self.config.task, {name: len(found) for name, found in self.sets.items()}
        lines = [
            f"task: {task.name}, {task.kind}, {len(self.classes)} outputs: {listed(self.classes)}",
            f"examples: {counts['train']:,} train, {counts['valid']:,} validate, {counts['test']:,} test; "
            f"the longest has {max(found.longest for found in self.sets.values()):,} bases",
            f"model: from {self.config.start.checkpoint or 'scratch'}, method {self.config.method}, "
            f"decoder {self.config.decoder.mode}, l_max {self.shape.model.l_max:,} tokens",
            *(f"note: {note}" for note in self.notes),
        ]
        return "\n".join(lines)


def plan_fine_tuning(
    config: FineTuneConfig,
    environment: ProcessEnvironment,
    examples: Sequence[Example],
    start: PretrainedModel | None,
    fold: int | None = None,
) -> PlannedFineTuning:
    """Raises InputError at the first thing that would stop the run later."""
    shape_model = start_model(config, start)
    if config.language_loss > 0 and shape_model.bidirectional:
        raise InputError(
            f"language_loss={config.language_loss} needs a causal model: a bidirectional one sees the base that comes "
            "next; set it to 0"
        )
    stratify = config.task.kind in ("binary", "multiclass")
    split = split_examples(examples, config.split, stratify=stratify, fold=fold)
    named = config.task.model_copy(update={"classes": named_classes(config.task, config.data)})
    classes = find_classes(named, [examples[number] for number in split.train])
    _check_groups(config, classes)
    sets, places = _sets(config, examples, split, classes)
    dimensions = ParallelDimensions(
        environment.world_size, config.parallel.sequence_parallel_size, environment.local_world_size
    )
    dimensions.check_divides(shape_model.d_model, "model.d_model")
    _check_longest(examples, shape_model.l_max, dimensions.sequence_parallel_size)
    task = config.task.model_copy(update={"classes": classes})
    resolved = config.model_copy(update={"model": shape_model, "task": task})
    planned = PlannedFineTuning(
        config=resolved,
        environment=environment,
        dimensions=dimensions,
        schedule=_schedule(config, sets),
        shape=TaskShape(shape_model, config.decoder, len(classes)),
        classes=classes,
        sets=sets,
        places=places,
        class_weights=class_weights(config.class_weights, sets["train"].targets, classes),
        scale=_scale(config, sets["train"]),
        notes=split.notes,
    )
    for stage in planned.schedule.stages:
        planned.step_plan(stage)
    return planned


def start_model(config: FineTuneConfig, start: PretrainedModel | None) -> ModelConfig:
    """The shape of the model: that of the weights to start from, with the config's dropouts, or the model section."""
    if start is None:
        if config.model is None:
            raise InputError("there is no model section to start from scratch; add one, or name start.checkpoint")
        return config.model
    dropouts = {
        name: value for name in ("embed_dropout", "resid_dropout") if (value := getattr(config.start, name)) is not None
    }
    found = dataclasses.replace(start.config, **dropouts)
    if config.model is not None and config.model != found:
        raise InputError(
            f"the model section differs from the model of start.checkpoint={config.start.checkpoint}; "
            "leave the section out: the model comes with the weights"
        )
    return found


def _sets(
    config: FineTuneConfig, examples: Sequence[Example], split: Split, classes: tuple[str, ...]
) -> tuple[dict[str, ExampleSet], dict[str, list[str]]]:
    encoder = LabelEncoder(config.task, classes)
    sets, places = {}, {}
    for name, numbers in zip(SPLITS, (split.train, split.valid, split.test), strict=True):
        chosen = [examples[number] for number in numbers]
        tokens = [example.tokens for example in chosen]
        sets[name] = ExampleSet(tokens, encoder.encode(chosen), by_position=config.task.kind == "position")
        places[name] = [example.place for example in chosen]
    return sets, places


def _scale(config: FineTuneConfig, training: ExampleSet) -> TargetScale | None:
    if config.task.kind != "regression":
        return None
    return TargetScale.of(torch.from_numpy(np.stack(training.targets)))


def _check_groups(config: FineTuneConfig, classes: tuple[str, ...]) -> None:
    groups = config.task.groups
    if groups is not None and sum(groups.values()) != len(classes):
        shown = " + ".join(map(str, groups.values()))
        raise InputError(f"task.groups hold {shown} labels and the data {len(classes)}; change task.groups")


def _check_longest(examples: Sequence[Example], l_max: int, multiple: int) -> None:
    longest = max(examples, key=lambda example: len(example.tokens))
    width = -(-(len(longest.tokens) + 1) // multiple) * multiple
    if width > l_max:
        raise InputError(
            f"{longest.place}: the sequence has {len(longest.tokens):,} bases and [SEP], the model's l_max is "
            f"{l_max:,} tokens; take a longer model, or cut with task.length={l_max - multiple} and task.longer=centre "
            "(windows drawn from a genome are shortened by data.window or data.species.length)"
        )


def _schedule(config: FineTuneConfig, sets: dict[str, ExampleSet]) -> Schedule:
    longest = max(found.longest for found in sets.values())
    samples, planned = config.batch.examples_per_step, list[Stage]()
    first_step = 0
    for number, stage in enumerate(config.stages):
        steps = _steps(stage, len(sets["train"]), samples)
        planned.append(Stage(number, first_step, steps, stage.length or longest, samples, stage.micro_batch))
        first_step += steps
    if planned[-1].length < longest:
        raise InputError(
            f"stages.{len(planned) - 1}.length={planned[-1].length:,} cuts sequences of up to {longest:,} bases in the "
            "last stage; leave it out, or cut all of them by task.length"
        )
    return Schedule(tuple(planned))


def _steps(stage: ExampleStageConfig, examples: int, samples: int) -> int:
    return stage.steps or max(math.ceil((stage.epochs or 0) * examples / samples), 1)


def read_cache(run_directory: Path) -> Path:
    """Where uncompressed copies of FASTA files are kept."""
    return run_directory.parent / ".fasta_cache"
