"""Portable checkpoints of a training engine: any world size and ZeRO stage writes them, any other reads them."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from hyena_ds.engine.checkpoint_store import Checkpoint, prune, write_checkpoint
from hyena_ds.engine.distributed import sum_over_ranks
from hyena_ds.engine.engine import TrainingEngine
from hyena_ds.engine.optimizer_state import STATES, adam_step, gather_parameters, gather_state, restore_states
from hyena_ds.errors import InputError, StorageError


def save_checkpoint(
    engine: TrainingEngine,
    directory: Path,
    *,
    step: int,
    tables: dict[str, Tensor],
    config: str,
    progress: dict[str, Any],
    keep_last: int,
    is_main: bool,
) -> None:
    """Gather on all ranks and write on the main one; every rank raises StorageError where that fails.

    `tables` are buffers that belong to imported weights and travel with them.
    """
    checkpoint = Checkpoint(
        step=step,
        parameters=gather_parameters(engine) | tables,
        config=config,
        adam_step=adam_step(engine),
        progress=progress,
        **{name: gather_state(engine, name) for name in STATES},
    )
    failure: StorageError | None = None
    if is_main:
        try:
            write_checkpoint(directory, checkpoint)
            prune(directory, keep_last)
        except StorageError as error:
            failure = error
    failed = int(sum_over_ranks(torch.tensor(int(failure is not None)))) > 0
    if failed:
        raise failure or StorageError("rank 0 could not write the checkpoint; see its message")


def load_parameters(model: nn.Module, parameters: Mapping[str, Tensor], place: Path | str) -> None:
    """Set a model's parameters and tables, which come from `place`, before its engine is made.

    Raises InputError where they are another model's.
    """
    with torch.no_grad():
        targets = dict(model.named_parameters())
        buffers = dict(model.named_buffers(remove_duplicate=False))
        targets |= {name: buffers[name] for name in parameters if name in buffers}  # type: ignore[misc]
        missing = sorted(targets.keys() - parameters.keys())
        unknown = sorted(parameters.keys() - targets.keys())
        if missing or unknown:
            raise InputError(
                f"checkpoint {place} is another model's: it lacks {', '.join(missing[:3]) or 'nothing'} and holds "
                f"{', '.join(unknown[:3]) or 'nothing'} besides; choose another run_directory or its own model section"
            )
        for name, target in targets.items():
            value = parameters[name]
            if value.shape != target.shape:
                raise InputError(
                    f"checkpoint {place} is another model's: {name} is {list(value.shape)} there and "
                    f"{list(target.shape)} in the config; choose another run_directory or its own model section"
                )
            target.copy_(value)


def load_optimizer(engine: TrainingEngine, checkpoint: Checkpoint) -> None:
    """Set Adam's state, and the average where it is kept, as the checkpoint has it; before the first step none is."""
    if checkpoint.adam_step:
        found = {name: getattr(checkpoint, name) for name in STATES}
        restore_states(engine, checkpoint.adam_step, {name: values for name, values in found.items() if values})
