import csv
import io
import sys
from collections.abc import Callable
from contextlib import redirect_stdout
from pathlib import Path

import pytest

from hyena_ds.parallel.environment import alone
from hyena_ds.training.signals import handlers_restored

DATA = Path(__file__).resolve().parents[1] / "data" / "finetune"
PROMOTERS = DATA / "promoters.csv"
OPEN_CHROMATIN = DATA / "open_chromatin.tsv"
OPEN_CHROMATIN_COLUMNS = ("split", "label", "id", "chromosome", "start", "end", "strand", "sequence")

CONFIG = """\
run_directory: {run}
seed: 7
task: {{name: promoters, kind: binary}}
data: {{train: {data}, reverse_complement: true}}
split: {{valid: 0.2, test: 0.2}}
model: {{d_model: 16, n_layer: 2, l_max: 258, filter_order: 8, embed_dropout: 0.2}}
decoder: {{mode: pool, dropout: 0.1}}
batch: {{examples_per_step: 8}}
stages:
  - {{length: 64, steps: 6, micro_batch: 3}}
  - {{steps: 10, micro_batch: 4}}
optimizer: {{learning_rate: 3.0e-3, warmup_fraction: 0.1}}
engine: {{zero_stage: 1, precision: fp32, parameter_persistence_threshold: 0}}
checkpoint: {{every_steps: 4, keep_last: 5}}
scoring: {{every_steps: 5, bootstrap: 20}}
logging: {{every_steps: 5, tensorboard: false}}
"""


def launched(main: Callable[[], int | None], *words: object) -> str:
    """What a command prints, run in this process: a start of Python with torch and DeepSpeed takes longer than it."""
    printed = io.StringIO()
    with alone(), handlers_restored(), redirect_stdout(printed), pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["command", *map(str, words)])
        assert not main()
    return printed.getvalue()


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """A run of 16 steps through two lengths on 120 real promoters and other sequences."""
    path = tmp_path / "config.yaml"
    path.write_text(CONFIG.format(run=tmp_path / "run", data=PROMOTERS), encoding="utf-8")
    return path


@pytest.fixture
def promoters() -> list[tuple[str, str]]:
    """Sequence and label of each row."""
    with PROMOTERS.open(encoding="utf-8") as file:
        return [(row["sequence"], row["label"]) for row in csv.DictReader(file)]
