"""scoring.calibrate: probabilities as the validation set shows them, in results and in the head that leaves."""

import csv
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from hyena_ds.downstream.best import best_path
from hyena_ds.downstream.calibration import Calibration
from hyena_ds.downstream.outputs import probabilities
from hyena_ds.downstream.results import read_results
from hyena_ds.engine.checkpoint_store import read_checkpoint
from hyena_ds.errors import InputError
from hyena_ds.training.metrics import read_metrics
from launch.finetune import main
from tests.downstream.conftest import launched
from tests.engine.ranks import ROOT, run_ranks

TOLERANCE = 1e-5
ONCE = ("stages.0.steps=1", "stages.1.steps=9", "scoring.every_steps=10")
CALIBRATED = "scoring.calibrate=true"


def drawn(count: int, classes: int) -> tuple[np.ndarray, np.ndarray]:
    """Outputs, and class numbers drawn from their probabilities."""
    generator = np.random.default_rng(0)
    outputs = generator.normal(size=(count, classes)) * 2
    shares = probabilities("multiclass", outputs).cumsum(axis=1)
    return outputs, (generator.random((count, 1)) > shares).sum(axis=1)


def test_it_finds_the_scale_and_the_biases_that_were_taken_away() -> None:
    outputs, targets = drawn(40_000, 4)
    biases = np.array([0.5, -1.0, 0.2, 0.3])
    found = Calibration.fit(list((outputs - biases) / 3), list(targets))
    assert found.scale == pytest.approx(3, rel=0.03)
    assert found.biases - found.biases.mean() == pytest.approx(biases - biases.mean(), abs=0.06)


def test_each_class_is_as_likely_as_it_is_frequent() -> None:
    outputs, targets = drawn(300, 3)
    found = Calibration.fit(list(outputs * 5 + np.array([2.0, 0.0, -1.0])), list(targets))
    given = np.stack(found.outputs(list(outputs * 5 + np.array([2.0, 0.0, -1.0]))))
    expected = probabilities("multiclass", given).sum(axis=0)
    counts = np.bincount(targets)
    assert expected == pytest.approx(counts - found.biases, abs=1e-3)  # the prior's pull beside them


def test_outputs_without_an_error_do_not_grow_without_end() -> None:
    targets = np.arange(60) % 2
    found = Calibration.fit(list(np.eye(2)[targets] * 3), list(targets))
    assert 1 < found.scale < 10
    assert np.abs(found.biases).max() < 1


def table(run: Path, split: str) -> tuple[np.ndarray, np.ndarray]:
    """Logarithms of the probabilities, and the numbers of the targets."""
    with (run / f"predictions_{split}.csv").open() as file:
        rows = list(csv.DictReader(file))
    names = list(rows[0])[2:]
    shares = np.array([[float(row[name]) for name in names] for row in rows])
    return np.log(shares), np.array([names.index(row["target"]) for row in rows])


def test_results_and_the_export_are_calibrated_by_the_validation_set(config: Path, tmp_path: Path) -> None:
    plain, run = tmp_path / "plain", tmp_path / "calibrated"
    launched(main, "--config", config, *ONCE, f"run_directory={plain}")
    launched(main, "--config", config, *ONCE, CALIBRATED, f"run_directory={run}")
    valid, targets = table(plain, "valid")
    expected = Calibration.fit(list(valid), list(targets))
    for split in ("valid", "test"):
        given = np.stack(expected.outputs(list(table(plain, split)[0])))
        found = probabilities("binary", table(run, split)[0])
        assert found == pytest.approx(probabilities("binary", given), abs=1e-4)
    assert np.abs(table(run, "test")[0] - table(plain, "test")[0]).max() > 1e-3
    last = read_metrics(run)[-1]["validation_loss"]
    assert last == pytest.approx(-table(run, "valid")[0][np.arange(len(targets)), targets].mean(), rel=TOLERANCE)
    assert last < read_metrics(plain)[-1]["validation_loss"]
    kept = read_checkpoint(best_path(run, read_results(run)["best_step"])).parameters
    exported = load_file(run / "export" / "model.safetensors")
    for name in ("score.weight", "score.bias"):
        assert torch.equal(exported[name], kept[name])


def test_two_ranks_and_averages_are_calibrated_as_one_rank_is(config: Path, tmp_path: Path) -> None:
    words = ("--config", config, CALIBRATED, "scoring.average_weights=0.5")
    launched(main, *words, f"run_directory={tmp_path}/one")
    run_ranks(2, ROOT / "launch" / "finetune.py", *words, "engine.zero_stage=3")
    one, two = tmp_path / "one", config.parent / "run"
    losses = [[line.get("validation_loss", 0) for line in read_metrics(run)] for run in (one, two)]
    assert losses[1] == pytest.approx(losses[0], rel=TOLERANCE)
    assert table(two, "test")[0] == pytest.approx(table(one, "test")[0], abs=1e-4)


@pytest.mark.parametrize(
    "words",
    [("task.kind=multilabel",), ("task.kind=position", "decoder.mode=position"), ("decoder.bias=false",)],
    ids=lambda words: words[0],
)
def test_heads_without_a_bias_for_each_class_are_refused(config: Path, words: tuple[str, ...]) -> None:
    with pytest.raises(InputError, match=r"scoring\.calibrate .*set it to false"):
        launched(main, "--config", config, CALIBRATED, *words)


def test_it_does_not_change_in_a_run(config: Path) -> None:
    launched(main, "--config", config, "--stop-after-steps", "3")
    with pytest.raises(InputError, match=r"are of scoring\.calibrate=False, the config says True"):
        launched(main, "--config", config, CALIBRATED)
