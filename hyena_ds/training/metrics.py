"""Where the numbers of a run go: JSON lines, TensorBoard and, where asked for, Weights & Biases."""

import json
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from pydantic import Field
from torch.utils.tensorboard import SummaryWriter

from hyena_ds.config.section import Section
from hyena_ds.errors import InputError

METRICS_NAME = "metrics.jsonl"


class LoggingConfig(Section):
    """`every_steps` is between two printed lines; the files hold every step. `wandb_project` needs wandb installed."""

    every_steps: int = Field(default=10, gt=0)
    tensorboard: bool = True
    wandb_project: str | None = None


def read_metrics(run_directory: Path) -> list[dict[str, Any]]:
    """The lines of a run's metrics file; a last line cut short by a crash is left out."""
    path = run_directory / METRICS_NAME
    if not path.is_file():
        return []
    lines = path.read_text(encoding="utf-8").split("\n")
    try:
        return [json.loads(line) for line in lines[:-1] if line]
    except json.JSONDecodeError as error:
        raise InputError(f"{path} holds a line that is no JSON ({error}); repair or move it, the run goes on") from None


def rewind_metrics(run_directory: Path, step: int) -> None:
    """Drop the lines after `step`, which a resumed run writes again."""
    path = run_directory / METRICS_NAME
    if not path.is_file():
        return
    kept = [json.dumps(line) + "\n" for line in read_metrics(run_directory) if line["step"] <= step]
    aside = path.with_suffix(".partial")
    aside.write_text("".join(kept), encoding="utf-8")
    aside.replace(path)


class MetricsWriter:
    """Appends one line a training step or validation; used by rank 0 alone."""

    def __init__(self, run_directory: Path, config: LoggingConfig, run_config: dict[str, Any], step: int) -> None:
        self._wandb = _start_wandb(config, run_directory, run_config) if config.wandb_project else None
        rewind_metrics(run_directory, step)
        self._file = (run_directory / METRICS_NAME).open("a", encoding="utf-8", buffering=1)
        self._tensorboard: SummaryWriter | None = None
        if config.tensorboard:
            self._tensorboard = SummaryWriter(str(run_directory / "tensorboard"), purge_step=step + 1)

    def write(self, values: dict[str, Any]) -> None:
        """One line; `values` holds `step`."""
        self._file.write(json.dumps(values) + "\n")
        numbers = {name: value for name, value in values.items() if isinstance(value, int | float) and name != "step"}
        if self._tensorboard is not None:
            for name, value in numbers.items():
                self._tensorboard.add_scalar(name, value, values["step"])
        if self._wandb is not None:
            self._wandb.log(numbers, step=values["step"])

    def close(self) -> None:
        self._file.close()
        if self._tensorboard is not None:
            self._tensorboard.close()
        if self._wandb is not None:
            self._wandb.finish()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _start_wandb(config: LoggingConfig, run_directory: Path, run_config: dict[str, Any]) -> Any:
    try:
        import wandb  # noqa: PLC0415 - an extra that few install
    except ImportError:
        raise InputError(
            f"logging.wandb_project={config.wandb_project!r} needs wandb: pip install wandb, or set it to null"
        ) from None
    return wandb.init(
        project=config.wandb_project, dir=str(run_directory), name=run_directory.name, config=run_config, resume="allow"
    )
