"""Every file of configs/finetune is a whole run, and the demo runs on what ships with the project."""

from pathlib import Path

import pytest
from safetensors.torch import load_file

from hyena_ds.config.load import load_config
from hyena_ds.downstream.config import FineTuneConfig
from hyena_ds.downstream.finetune import fine_tune
from hyena_ds.errors import EXIT_DONE
from hyena_ds.parallel.environment import ProcessEnvironment
from launch.finetune import main
from tests.downstream.conftest import PROMOTERS, launched

ROOT = Path(__file__).resolve().parents[2]
GOLDEN = ROOT / "tests" / "data" / "golden" / "d64_n2_l258" / "longsafari_hf"
CONFIGS = sorted((ROOT / "configs" / "finetune").glob("*.yaml"))


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_a_config_loads(path: Path) -> None:
    config = load_config(path, FineTuneConfig)
    assert config.run_directory.startswith("runs/")
    assert (config.start.checkpoint is None) == (config.model is not None)


@pytest.mark.parametrize("ranks", [1, 2, 8])
def test_the_demo_passes_every_check(ranks: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    overrides = [f"start.checkpoint={GOLDEN}", f"data.train={PROMOTERS}"]
    config = load_config(ROOT / "configs/finetune/demo.yaml", FineTuneConfig, overrides)
    config = config.model_copy(update={"run_directory": str(tmp_path / "run")})
    environment = ProcessEnvironment(0, ranks, 0, ranks, "127.0.0.1", 29500, "test")
    assert fine_tune(config, environment, dry_run=True) == EXIT_DONE
    assert "77 train, 19 validate, 24 test" in capsys.readouterr().out
    assert not (tmp_path / "run").exists()


def test_the_probe_of_helical_runs_on_real_promoters(tmp_path: Path) -> None:
    words = [f"data.train={PROMOTERS}", f"start.checkpoint={GOLDEN}", f"run_directory={tmp_path}/run", "split.test=0.2"]
    words += ["stages.0.epochs=2", "scoring.bootstrap=0"]
    printed = launched(main, "--config", ROOT / "configs/finetune/probe_helical.yaml", *words)
    assert "method probe, decoder pool" in printed
    weights = load_file(tmp_path / "run" / "export" / "model.safetensors")
    shapes = [tuple(weights[f"score.hidden.{number}.weight"].shape) for number in range(4)]
    assert shapes == [(256, 64), (128, 256), (128, 128), (64, 128)]  # the model here is 64 wide
    assert weights["score.weight"].shape == (2, 64)
