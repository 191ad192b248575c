import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from hyena_ds.genome.plan import ShardPlan
from hyena_ds.genome.shard import shard_genome
from hyena_ds.training.metrics import read_metrics
from tests.cluster import network, slurm
from tests.engine.ranks import ROOT, run_ranks

PRETRAIN = ROOT / "launch" / "pretrain.py"
GENOME = ROOT / "tests" / "data" / "lambda_virus.fa.gz"

# Two ranks take a few seconds for it: long enough to be stopped in the middle.
STEPS = 120
CONFIG = """\
run_directory: {run}
seed: 7
model: {{d_model: 16, n_layer: 2, l_max: 130, filter_order: 8, embed_dropout: 0.2}}
data: {{directory: {data}, reverse_complement: true}}
batch: {{tokens_per_step: 1024}}
stages:
  - {{length: 64, steps: 60, micro_batch: 8}}
  - {{length: 128, steps: 60, micro_batch: 4}}
optimizer: {{learning_rate: 3.0e-3, gradient_clipping: 1.0, warmup_fraction: 0.1}}
engine: {{zero_stage: 1, precision: fp32}}
checkpoint: {{every_steps: 30, keep_last: 2}}
validation: {{every_steps: 60, windows: 4}}
logging: {{every_steps: 30, tensorboard: false}}
"""

Trace = list[tuple[int, float, float]]  # tokens, loss and gradient norm of each step


def write_config(directory: Path, shards: Path) -> Path:
    """The config of a run in `directory`/run."""
    path = directory / "config.yaml"
    path.write_text(CONFIG.format(run=directory / "run", data=shards), encoding="utf-8")
    return path


def manifest(config: Path, step: int) -> Path:
    """The file that completes the checkpoint of a step."""
    return config.parent / "run" / "checkpoints" / f"step-{step:08}" / "manifest.json"


def trace(config: Path) -> Trace:
    """Every step of the run, in order and each once."""
    lines = [line for line in read_metrics(config.parent / "run") if "loss" in line]
    assert [line["step"] for line in lines] == list(range(1, len(lines) + 1))
    return [(line["tokens"], line["loss"], line["grad_norm"]) for line in lines]


@pytest.fixture(scope="session")
def shards(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("genome") / "shards"
    shard_genome(ShardPlan.of(GENOME), directory)
    return directory


@pytest.fixture(scope="session")
def uninterrupted(tmp_path_factory: pytest.TempPathFactory, shards: Path) -> Trace:
    """The trace of two ranks that nothing disturbs."""
    config = write_config(tmp_path_factory.mktemp("uninterrupted"), shards)
    run_ranks(2, PRETRAIN, "--config", config)
    return trace(config)


@pytest.fixture
def config(tmp_path: Path, shards: Path) -> Path:
    return write_config(tmp_path, shards)


@pytest.fixture(scope="session")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[slurm.SlurmCluster]:
    if slurm.missing():
        pytest.skip(slurm.missing())
    with slurm.slurm_cluster(tmp_path_factory.mktemp("slurm")) as started:
        yield started


@pytest.fixture(scope="session")
def hosts() -> Iterator[tuple[network.Host, network.Host]]:
    if network.missing():
        pytest.skip(network.missing())
    with network.two_hosts() as started:
        yield started


@pytest.fixture(autouse=True)
def _no_process_left_over(tmp_path: Path) -> Iterator[None]:
    yield
    left = [words for words in _command_lines() if str(tmp_path) in words]
    assert not left, f"still running: {left}"


def _command_lines() -> Iterator[str]:
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and int(entry.name) != os.getpid():
            try:
                yield (entry / "cmdline").read_text(encoding="utf-8", errors="replace").replace("\0", " ")
            except OSError:  # it has ended meanwhile
                continue
