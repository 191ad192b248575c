"""scoring.average_weights: what is scored, kept and exported is the average, at any ranks and after a stop."""

import csv
import math
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from hyena_ds.downstream.results import read_results
from hyena_ds.errors import InputError
from hyena_ds.training.metrics import read_metrics
from launch.finetune import main
from tests.downstream.conftest import CONFIG, PROMOTERS, launched
from tests.engine.ranks import ROOT, run_ranks

DECAY = 0.5  # reached at the eighth update
WORDS = (f"scoring.average_weights={DECAY}", "checkpoint.every_steps=1", "checkpoint.keep_last=16")
TOLERANCE = 1e-5


def tensors(run: Path, folder: str, step: int, kind: str = "parameters") -> dict[str, Tensor]:
    return load_file(run / folder / f"step-{step:08d}" / f"{kind}-00001-of-00001.safetensors")


def error(found: dict[str, Tensor], expected: dict[str, Tensor]) -> float:
    assert found.keys() == expected.keys()
    return max(float((found[name] - value).norm() / (value.norm() + 1e-6)) for name, value in expected.items())


def validation_losses(run: Path) -> dict[int, float]:
    return {line["step"]: line["validation_loss"] for line in read_metrics(run) if "validation_loss" in line}


def plain_average(run: Path, steps: int) -> dict[str, Tensor]:
    """In float64, from the parameters of the checkpoint of each step."""
    average = {name: value.double() for name, value in tensors(run, "checkpoints", 1).items()}
    for step in range(2, steps + 1):
        decay = min(DECAY, (1 + step) / (10 + step))
        now = tensors(run, "checkpoints", step)
        average = {name: decay * value + (1 - decay) * now[name].double() for name, value in average.items()}
    return average


@pytest.fixture(scope="module")
def averaged(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of sixteen steps with a checkpoint of each."""
    directory = tmp_path_factory.mktemp("averaged")
    path = directory / "config.yaml"
    path.write_text(CONFIG.format(run=directory / "run", data=PROMOTERS), encoding="utf-8")
    launched(main, "--config", path, *WORDS)
    return directory / "run"


def test_the_average_of_all_steps_is_kept(averaged: Path) -> None:
    best = read_results(averaged)["best_step"]
    assert error(tensors(averaged, "best", best), plain_average(averaged, best)) <= TOLERANCE
    assert error(tensors(averaged, "checkpoints", best), plain_average(averaged, best)) > 100 * TOLERANCE
    assert error(tensors(averaged, "checkpoints", 16, "average"), plain_average(averaged, 16)) <= TOLERANCE


def test_the_average_is_scored_and_exported(averaged: Path) -> None:
    best = read_results(averaged)["best_step"]
    with (averaged / "predictions_valid.csv").open() as file:
        nats = [-math.log(float(row[row["target"]])) for row in csv.DictReader(file)]
    assert validation_losses(averaged)[best] == pytest.approx(sum(nats) / len(nats), rel=TOLERANCE)
    exported = load_file(averaged / "export" / "model.safetensors")
    assert torch.equal(exported["score.weight"], tensors(averaged, "best", best)["score.weight"])


@pytest.mark.parametrize(("ranks", "zero_stage"), [(1, 0), (2, 2), (2, 3)])
def test_a_stopped_run_goes_on_with_its_average(config: Path, averaged: Path, ranks: int, zero_stage: int) -> None:
    run = config.parent / "run"
    launched(main, "--config", config, *WORDS, "--stop-after-steps", "9")
    run_ranks(ranks, ROOT / "launch" / "finetune.py", "--config", config, *WORDS, f"engine.zero_stage={zero_stage}")
    assert validation_losses(run) == pytest.approx(validation_losses(averaged), rel=TOLERANCE)
    for kind in ("parameters", "average"):
        last = (tensors(one, "checkpoints", 16, kind) for one in (run, averaged))
        assert error(*last) <= TOLERANCE


def test_what_is_scored_does_not_change_in_a_run(config: Path) -> None:
    launched(main, "--config", config, "--stop-after-steps", "3")
    with pytest.raises(InputError, match=r"are of scoring\.average_weights=None, the config says 0\.5"):
        launched(main, "--config", config, *WORDS)
