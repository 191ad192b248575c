import importlib.util
import json
from pathlib import Path

import pytest

from hyena_ds.errors import InputError
from hyena_ds.training.metrics import METRICS_NAME, LoggingConfig, MetricsWriter, read_metrics


def _write(directory: Path, steps: range, resumed_at: int) -> None:
    with MetricsWriter(directory, LoggingConfig(), {}, resumed_at) as writer:
        for step in steps:
            writer.write({"step": step, "loss": 1.0 / step, "mfu": None})


def test_a_resumed_run_rewrites_the_lines_after_its_checkpoint(tmp_path: Path) -> None:
    _write(tmp_path, range(1, 8), 0)
    _write(tmp_path, range(5, 10), 4)
    assert [line["step"] for line in read_metrics(tmp_path)] == list(range(1, 10))


def test_a_line_cut_short_by_a_crash_is_left_out(tmp_path: Path) -> None:
    _write(tmp_path, range(1, 4), 0)
    with (tmp_path / METRICS_NAME).open("a", encoding="utf-8") as file:
        file.write(json.dumps({"step": 4, "loss": 0.25})[:-5])
    assert [line["step"] for line in read_metrics(tmp_path)] == [1, 2, 3]
    _write(tmp_path, range(4, 6), 3)
    assert [line["step"] for line in read_metrics(tmp_path)] == [1, 2, 3, 4, 5]


def test_tensorboard_events_are_written(tmp_path: Path) -> None:
    _write(tmp_path, range(1, 3), 0)
    assert list((tmp_path / "tensorboard").glob("events.out.tfevents.*"))


def test_wandb_asked_for_but_not_installed_is_named(tmp_path: Path) -> None:
    if importlib.util.find_spec("wandb") is not None:
        pytest.skip("wandb is installed here")
    with pytest.raises(InputError, match="pip install wandb"):
        MetricsWriter(tmp_path, LoggingConfig(wandb_project="genomes"), {}, 0)
