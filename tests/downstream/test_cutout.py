"""cutout in a run: the same at any number of ranks and after a stop, and only of what trains."""

from pathlib import Path

import pytest

from hyena_ds.errors import InputError
from hyena_ds.training.metrics import read_metrics
from launch.finetune import main
from tests.downstream.conftest import launched
from tests.engine.ranks import ROOT, run_ranks

GOLDEN = ROOT / "tests" / "data" / "golden" / "d64_n2_l258" / "original"
TOLERANCE = 1e-5


def values(run: Path, name: str) -> list[float]:
    return [line[name] for line in read_metrics(run) if name in line]


def test_two_ranks_that_go_on_after_a_stop_hide_what_one_rank_hides(config: Path, tmp_path: Path) -> None:
    words = ("--config", config, "cutout=0.5", "logging.every_steps=1")
    whole, plain, run = tmp_path / "whole", tmp_path / "plain", config.parent / "run"
    launched(main, *words, f"run_directory={whole}")
    launched(main, *words, "--stop-after-steps", "7")
    run_ranks(2, ROOT / "launch" / "finetune.py", *words)
    assert values(run, "loss") == pytest.approx(values(whole, "loss"), rel=TOLERANCE)
    launched(main, *words, "cutout=0", f"run_directory={plain}")
    differences = [abs(one - other) for one, other in zip(values(plain, "loss"), values(whole, "loss"), strict=True)]
    assert min(differences) > 1e-4


def test_what_is_scored_is_whole(config: Path, tmp_path: Path) -> None:
    words = ("--config", config, "optimizer.learning_rate=1e-12")
    for name, share in (("cut", 1), ("whole", 0)):
        launched(main, *words, f"cutout={share}", f"run_directory={tmp_path}/{name}")
    losses = [values(tmp_path / name, "validation_loss") for name in ("cut", "whole")]
    assert losses[0] == pytest.approx(losses[1], rel=TOLERANCE)


def test_a_probe_refuses_it(config: Path) -> None:
    words = (f"start.checkpoint={GOLDEN}", "model=null", "method=probe", "cutout=0.5")
    with pytest.raises(InputError, match=r"cutout=0\.5 .*method=frozen, or set cutout to 0"):
        launched(main, "--config", config, *words)
