"""Windows that stay in their genome train, are scored and told of like any other example."""

import json
from pathlib import Path

import numpy as np
import pytest

from launch.finetune import main
from tests.downstream.conftest import launched

CONFIG = """\
run_directory: {run}
seed: 7
task: {task}
data: {data}
model: {{d_model: 16, n_layer: 1, l_max: 130, filter_order: 8}}
decoder: {{mode: pool}}
batch: {{examples_per_step: 8}}
stages:
  - {{length: 32, steps: 2, micro_batch: 4}}
  - {{steps: 4, micro_batch: 4}}
optimizer: {{learning_rate: 3.0e-3}}
engine: {{zero_stage: 1, precision: fp32}}
checkpoint: {{every_steps: 3}}
scoring: {{every_steps: 3, bootstrap: 5}}
logging: {{tensorboard: false}}
"""


def results(directory: Path, task: str, data: str) -> dict[str, dict[str, dict[str, dict[str, float]]]]:
    path = directory / "config.yaml"
    path.write_text(CONFIG.format(run=directory / "run", task=task, data=data))
    launched(main, "--config", path)
    found: dict[str, dict[str, dict[str, dict[str, float]]]] = json.loads((directory / "run/results.json").read_text())
    return found


def test_species_of_different_composition_are_told_apart(tmp_path: Path) -> None:
    generator = np.random.default_rng(0)
    for name, weights in (("rich", (0.1, 0.4, 0.4, 0.1)), ("poor", (0.4, 0.1, 0.1, 0.4))):
        (tmp_path / name).mkdir()
        bases = "".join(generator.choice(list("ACGT"), 5000, p=weights))
        (tmp_path / name / "genome.fna").write_text(f">only\n{bases}\n")
    found = results(
        tmp_path,
        "{name: species, kind: multiclass, metric: accuracy}",
        f"{{train: {tmp_path}, format: species, species: {{names: [rich, poor], length: 128, windows: [64, 16, 24]}}}}",
    )
    assert found["classes"] == ["rich", "poor"]
    assert found["examples"] == {"train": 64, "valid": 16, "test": 24}
    assert set(found["scores"]) == {"valid", "test"}


def test_a_chromatin_run_tells_the_median_of_each_group(tmp_path: Path) -> None:
    generator = np.random.default_rng(0)
    (tmp_path / "genome.fa").write_text(f">chrX\n{''.join(generator.choice(list('ACGT'), 4000))}\n")
    for split, count in (("train", 40), ("val", 12), ("test", 12)):
        truths = generator.integers(0, 2, (count, 3))
        rows = [f"22,{60 * number},{60 * number + 100},{a},{b},{c}" for number, (a, b, c) in enumerate(truths)]
        (tmp_path / f"{split}.csv").write_text("Chr_No,Start,End,y_a|1,y_b,y_c\n" + "\n".join(rows) + "\n")
    found = results(
        tmp_path,
        "{name: chromatin, kind: multilabel, groups: {DHS: 1, TF: 2}}",
        f"{{train: {tmp_path}/train.csv, valid: {tmp_path}/val.csv, test: {tmp_path}/test.csv, "
        f"format: coordinates, fasta: {tmp_path}/genome.fa, window: 64}}",
    )
    assert found["classes"] == ["a_1", "b", "c"]
    assert found["examples"] == {"train": 40, "valid": 12, "test": 12}
    medians = [found["scores"]["test"][f"median_auroc_{group}"]["value"] for group in ("DHS", "TF")]
    assert all(0 <= median <= 1 for median in medians)
    assert found["scores"]["test"]["auroc"]["value"] == pytest.approx((medians[0] + 2 * medians[1]) / 3)
