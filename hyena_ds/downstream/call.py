"""A fine-tuning as a call of a program that goes on: its config from a few arguments, its results as values."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from hyena_ds.config.load import build_config, set_value
from hyena_ds.downstream.config import FineTuneConfig
from hyena_ds.downstream.finetune import fine_tune
from hyena_ds.downstream.members import best_member
from hyena_ds.downstream.results import read_results
from hyena_ds.errors import EXIT_DONE, InputError, StoppedError
from hyena_ds.parallel.environment import alone
from hyena_ds.training.plan import check_run_directory
from hyena_ds.training.resume import CHECKPOINTS_NAME
from hyena_ds.training.signals import handlers_restored

EXAMPLES_NAME = "examples.parquet"


def fine_tune_here(config: FineTuneConfig) -> tuple[Path, dict[str, Any]]:
    """Run `fine_tune` in this process alone; the finished run's directory, of several the best's, and all results.

    Raises StoppedError where SIGTERM or SIGUSR1 came, with everything saved.
    """
    with handlers_restored(), alone() as environment:
        if fine_tune(config, environment) != EXIT_DONE:
            raise StoppedError(f"{config.run_directory} was stopped and is saved; the same call goes on from there")
    return best_member(config), read_results(Path(config.run_directory))


def task_config(sections: Mapping[str, Any], settings: Mapping[str, Any]) -> FineTuneConfig:
    """The config of `sections`, with what `settings` say by dotted paths, such as `decoder.mode`, in place of theirs.

    Raises InputError with the path of a value that cannot be used.
    """
    values: dict[str, Any] = dict(sections)
    for dotted, value in settings.items():
        set_value(values, dotted, value, f"settings[{dotted!r}]")
    return build_config(values, FineTuneConfig, "fine_tune")


def examples_path(data: str | Path | pd.DataFrame, output: Path) -> Path:
    """Where the examples are: `data` itself, or the Parquet file in `output` that a table in memory is written to.

    Raises InputError where `output` holds a run of another table: it would be taken for one of these examples.
    """
    if not isinstance(data, pd.DataFrame):
        return Path(data)
    check_run_directory(output)
    output.mkdir(parents=True, exist_ok=True)
    kept, aside = output / EXAMPLES_NAME, output / f"{EXAMPLES_NAME}.partial"
    data.to_parquet(aside, index=False)
    begun = any(output.glob(f"**/{CHECKPOINTS_NAME}"))
    if kept.exists() and begun and not pd.read_parquet(kept).equals(pd.read_parquet(aside)):
        aside.unlink()
        raise InputError(f"{kept} holds other examples than these; choose another output")
    return aside.replace(kept)
