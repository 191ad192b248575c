"""The checkpoint that a run goes on from, and what its config changes about it."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from hyena_ds.config.load import dump_config, read_yaml_text
from hyena_ds.engine.checkpoint_store import Checkpoint, newest_checkpoint, read_checkpoint
from hyena_ds.errors import InputError
from hyena_ds.model.config import ModelConfig
from hyena_ds.training.config import TrainingConfig
from hyena_ds.training.plan import PlannedRun

CHECKPOINTS_NAME = "checkpoints"
# Model settings that may change in the middle of a run.
TRAINING_ONLY = ("embed_dropout", "resid_dropout", "hyena_dropout", "initializer_range")
# The sections that say what is learned, of every kind of run.
LEARNED = ("seed", "data", "split", "task", "decoder", "start", "batch", "stages", "optimizer")


def find_checkpoint(
    planned: PlannedRun, model: ModelConfig, check: Callable[[Checkpoint], None] = lambda checkpoint: None
) -> Checkpoint | None:
    """The newest good checkpoint of the run directory; says which it is and why others were passed over.

    Raises InputError where `check` does, or where it is another model's than `model`, or beyond the run's stages.
    """
    directory = planned.directory / CHECKPOINTS_NAME
    path, passed_over = newest_checkpoint(directory)
    if planned.environment.is_main:
        for line in passed_over:
            print(line, flush=True)
    if path is None:
        return None
    checkpoint = read_checkpoint(path)
    check(checkpoint)
    _check_model(checkpoint, model, path)
    if checkpoint.step > planned.schedule.total_steps:
        raise InputError(
            f"{path} is after step {checkpoint.step:,}, the config's stages end at {planned.schedule.total_steps:,}; "
            "add steps, or choose another run_directory"
        )
    if planned.environment.is_main:
        print(f"resuming from {path}", flush=True)
        for name, before, after in changed_values(checkpoint, planned.config, LEARNED):
            print(f"{name} was {before} before the checkpoint and is {after} from here on", flush=True)
    return checkpoint


def changed_values(
    checkpoint: Checkpoint, config: TrainingConfig, sections: Sequence[str]
) -> Iterator[tuple[str, Any, Any]]:
    """Each value of these sections that is another than before the checkpoint: its name, before, and now."""
    saved = read_yaml_text(checkpoint.config, "the checkpoint")
    now = read_yaml_text(dump_config(config), "the config")
    for section in sections:
        before, after = saved.get(section), now.get(section)
        if isinstance(before, dict) and isinstance(after, dict):
            for key in sorted(before.keys() & after.keys()):
                if before[key] != after[key]:
                    yield f"{section}.{key}", before[key], after[key]
        elif before is not None and before != after:
            yield section, before, after


def _check_model(checkpoint: Checkpoint, model: ModelConfig, path: Path) -> None:
    """Raises InputError where the checkpoint's model computes another function than the config's."""
    saved = _identity(ModelConfig(**read_yaml_text(checkpoint.config, str(path))["model"]))
    for name, value in _identity(model).items():
        if saved[name] != value:
            raise InputError(
                f"checkpoint {path} is another model's: model.{name} is {saved[name]} there and {value} in the config; "
                "choose another run_directory or take its model section"
            )


def _identity(model: ModelConfig) -> dict[str, Any]:
    """What two configs of one model share."""
    values = asdict(model) | {"d_inner": model.inner_width}
    return {name: value for name, value in values.items() if name not in TRAINING_ONLY}
