from pathlib import Path

import pytest

from hyena_ds.genome.plan import ShardPlan
from hyena_ds.genome.shard import shard_genome

GENOME = Path(__file__).resolve().parents[1] / "data" / "lambda_virus.fa.gz"

CONFIG = """\
run_directory: {run}
seed: 7
model: {{d_model: 16, n_layer: 2, l_max: 130, filter_order: 8, embed_dropout: 0.2}}
data: {{directory: {data}, reverse_complement: true}}
batch: {{tokens_per_step: 1024}}
stages:
  - {{length: 32, steps: 14, micro_batch: 8}}
  - {{length: 64, steps: 14, micro_batch: 3}}
  - {{length: 128, steps: 12, micro_batch: 2}}
optimizer: {{learning_rate: 3.0e-3, gradient_clipping: 1.0, warmup_fraction: 0.1}}
engine: {{zero_stage: 1, precision: fp32, parameter_persistence_threshold: 0}}
checkpoint: {{every_steps: 10, keep_last: 2}}
validation: {{every_steps: 20, windows: 4}}
logging: {{every_steps: 5, tensorboard: false}}
"""


@pytest.fixture(scope="session")
def shards(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("genome") / "shards"
    shard_genome(ShardPlan.of(GENOME), directory)
    return directory


@pytest.fixture
def config(tmp_path: Path, shards: Path) -> Path:
    """A run of 40 steps through three lengths on phage lambda, 1,024 tokens a step."""
    path = tmp_path / "config.yaml"
    path.write_text(CONFIG.format(run=tmp_path / "run", data=shards), encoding="utf-8")
    return path
