"""A run directory goes on with its own run alone: whatever else it holds is named and left as it is."""

import shutil
from pathlib import Path

import pytest

from hyena_ds.config.load import load_config
from hyena_ds.downstream.config import FineTuneConfig
from hyena_ds.downstream.finetune import fine_tune
from hyena_ds.errors import InputError
from hyena_ds.hub.import_weights import import_weights
from hyena_ds.hub.run_directory import write_imported_run
from hyena_ds.parallel.environment import ProcessEnvironment
from launch.finetune import main
from tests.downstream.conftest import launched
from tests.engine.ranks import ROOT

GOLDEN = ROOT / "tests" / "data" / "golden" / "d64_n2_l258"
STEPS = ("stages.0.steps=1", "stages.1.steps=1")


def finetune(config: Path, *words: object) -> str:
    return launched(main, "--config", config, *STEPS, *words)


def test_a_run_never_passes_for_one_of_other_examples_or_settings(
    config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    one_rank = ProcessEnvironment(0, 1, 0, 1, "127.0.0.1", 29500, "test")
    finetune(config)
    kept = (config.parent / "run" / "results.json").read_bytes()
    for word, message in (
        ("task.kind=multiclass", "are of task.kind=binary, the config says multiclass"),
        ("task.classes=['1','0']", "are of the classes 0, 1, the task now has 1, 0"),
        ("split.seed=99", "of other examples, or of another split"),
        ("optimizer.learning_rate=1e-5", r"is complete, with optimizer\.learning_rate=.*; the config says 1e-05"),
        ("seed=5", "is complete, with seed="),
        ("language_loss=0.5", r"is complete, with language_loss=0\.0; the config says 0\.5"),
        ("cutout=0.5", r"is complete, with cutout=0\.0; the config says 0\.5"),
    ):
        with pytest.raises(InputError, match=message):
            finetune(config, word)
        with pytest.raises(InputError, match=message):
            fine_tune(load_config(config, FineTuneConfig, [*STEPS, word]), one_rank, dry_run=True)
        printed = capsys.readouterr().out
        assert "examples: " in printed
        assert "resuming" not in printed
        assert "every check passed" not in printed
    assert (config.parent / "run" / "results.json").read_bytes() == kept


def test_a_directory_of_pretraining_is_refused_whatever_its_steps(config: Path) -> None:
    write_imported_run(import_weights(GOLDEN / "original"), config.parent / "run")
    with pytest.raises(InputError, match=r"run/checkpoints are of pretraining; choose another run_directory"):
        finetune(config)


def test_the_directory_of_the_weights_to_start_from_is_refused(config: Path, tmp_path: Path) -> None:
    weights, link = tmp_path / "weights", tmp_path / "link"
    shutil.copytree(GOLDEN / "original", weights)
    link.symlink_to(weights)
    words = ["model=null", f"start.checkpoint={weights}", f"run_directory={link}"]
    with pytest.raises(InputError, match=r"run_directory=.*/link is start\.checkpoint"):
        finetune(config, *words)
