"""Every file of configs/ passes its dry run, on 1 to 8 ranks, and describes the model that it is named after."""

import subprocess
import sys
from pathlib import Path

import pytest
import torch

from hyena_ds.config.load import load_config
from hyena_ds.errors import EXIT_DONE
from hyena_ds.model.language_model import HyenaLanguageModel
from hyena_ds.model.parameters import count_parameters
from hyena_ds.parallel.environment import ProcessEnvironment
from hyena_ds.training.config import RunConfig
from hyena_ds.training.pretrain import pretrain

ROOT = Path(__file__).resolve().parent.parent
CONFIGS = sorted((ROOT / "configs").glob("*.yaml"))
# Final length in bases and trainable parameters of the published models, by the file that trains them.
PUBLISHED = {
    "1k": (1_024, 436_096),
    "1k_d256": (1_024, 1_641_088),
    "16k": (16_384, 436_096),
    "32k": (32_768, 3_277_568),
    "160k": (160_000, 6_550_528),
    "450k": (450_000, 6_550_528),
    "1m": (1_000_000, 6_550_528),
}


@pytest.fixture(scope="module")
def shards(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Shards of yeast chromosome I, 0.2 million bases, the last tenth for validation."""
    directory = tmp_path_factory.mktemp("configs") / "yeast"
    command = [sys.executable, "-m", "preprocessing.shard", "--fasta", "tests/data/yeast_chr1.fa.gz"]
    subprocess.run([*command, "--output", str(directory)], cwd=ROOT, check=True, capture_output=True)
    return directory


def _load(path: Path, shards: Path, run_directory: Path) -> RunConfig:
    return load_config(path, RunConfig, [f"data.directory={shards}", f"run_directory={run_directory}"])


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
@pytest.mark.parametrize("ranks", [1, 2, 4, 8])
def test_the_dry_run_passes_and_writes_nothing(
    path: Path, ranks: int, shards: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = _load(path, shards, tmp_path / "run")
    if ranks % config.parallel.sequence_parallel_size:
        pytest.skip(f"its sequences are for {config.parallel.sequence_parallel_size} ranks")
    environment = ProcessEnvironment(0, ranks, 0, ranks, "127.0.0.1", 29500, "test")
    assert pretrain(config, environment, dry_run=True) == EXIT_DONE
    assert "every check passed" in capsys.readouterr().out
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(("name", "length", "parameters"), [(name, *facts) for name, facts in PUBLISHED.items()])
def test_a_config_is_of_the_published_size(name: str, length: int, parameters: int) -> None:
    config = load_config(ROOT / "configs" / f"{name}.yaml", RunConfig)
    with torch.device("meta"):
        assert count_parameters(HyenaLanguageModel(config.model)) == parameters
    assert config.stages[-1].length == config.validation_length == length
    assert config.model.l_max == length + 2
    assert config.run_directory == f"runs/{name}"


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_stages_grow_and_keep_to_multiples_of_eight(path: Path) -> None:
    lengths = [stage.length for stage in load_config(path, RunConfig).stages]
    assert lengths == sorted(set(lengths))
    assert all(length % 8 == 0 for length in lengths), "sequence parallelism up to 8 divides every stage"


def test_the_stages_towards_a_million_divide_it() -> None:
    lengths = [stage.length for stage in load_config(ROOT / "configs/1m.yaml", RunConfig).stages]
    assert all(1_000_000 % length == 0 for length in lengths)


def test_every_published_size_and_the_demo_have_a_file() -> None:
    assert {path.stem for path in CONFIGS} >= {"demo", *PUBLISHED}


def test_the_command_line_makes_a_dry_run(shards: Path, tmp_path: Path) -> None:
    command = [sys.executable, "launch/pretrain.py", "--config", "configs/demo.yaml", "--dry-run"]
    overrides = [f"data.directory={shards}", f"run_directory={tmp_path / 'run'}"]
    result = subprocess.run([*command, *overrides], cwd=ROOT, check=False, capture_output=True, text=True)
    assert result.returncode == EXIT_DONE, result.stderr
    assert "stage 2: 200 steps of 8 windows of 1,024 bases" in result.stdout
    assert not (tmp_path / "run").exists()
