"""Every file of configs/finetune is a whole run, and the demo runs on what ships with the project."""

from pathlib import Path

import pytest

from hyena_ds.config.load import load_config
from hyena_ds.downstream.config import FineTuneConfig
from hyena_ds.downstream.finetune import fine_tune
from hyena_ds.errors import EXIT_DONE
from hyena_ds.parallel.environment import ProcessEnvironment

ROOT = Path(__file__).resolve().parents[2]
CONFIGS = sorted((ROOT / "configs" / "finetune").glob("*.yaml"))


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_a_config_loads(path: Path) -> None:
    config = load_config(path, FineTuneConfig)
    assert config.run_directory.startswith("runs/")
    assert (config.start.checkpoint is None) == (config.model is not None)


@pytest.mark.parametrize("ranks", [1, 2, 8])
def test_the_demo_passes_every_check(ranks: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    golden = ROOT / "tests" / "data" / "golden" / "d64_n2_l258" / "longsafari_hf"
    overrides = [f"start.checkpoint={golden}", f"data.train={ROOT}/tests/data/finetune/promoters.csv"]
    config = load_config(ROOT / "configs/finetune/demo.yaml", FineTuneConfig, overrides)
    config = config.model_copy(update={"run_directory": str(tmp_path / "run")})
    environment = ProcessEnvironment(0, ranks, 0, ranks, "127.0.0.1", 29500, "test")
    assert fine_tune(config, environment, dry_run=True) == EXIT_DONE
    assert "77 train, 19 validate, 24 test" in capsys.readouterr().out
    assert not (tmp_path / "run").exists()
