"""The probing table: each task by its own kind and metric, from one model, finished tasks kept."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest

from hyena_ds.config.load import read_yaml
from hyena_ds.downstream.tasks.catalogue import find_published
from hyena_ds.downstream.tasks.nucleotide_transformer import PAPER
from hyena_ds.downstream.tasks.probe_table import probe_config
from launch.probe_table import main
from tests.downstream.conftest import launched

ROOT = Path(__file__).resolve().parents[3]
GOLDEN = ROOT / "tests/data/golden/d64_n2_l258/longsafari_hf"
HELICAL = ROOT / "configs/finetune/probe_helical.yaml"
FAMILY = "nucleotide_transformer_revised"
TASKS = {"enhancers": 2, "enhancers_types": 3}


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Two tasks whose counts are not published, their classes told by composition."""
    generator = np.random.default_rng(0)
    for task, classes in TASKS.items():
        (tmp_path / FAMILY / task).mkdir(parents=True)
        for split, count in (("train", 40), ("test", 20)):
            records = []
            for number in range(count):
                label = number % classes
                weights = np.roll((0.7, 0.1, 0.1, 0.1), label)
                records.append(f">seq{number}|{label}\n{''.join(generator.choice(list('ACGT'), 40, p=weights))}\n")
            (tmp_path / FAMILY / task / f"{split}.fna").write_text("".join(records))
    return tmp_path


def test_the_table_holds_each_task(data: Path) -> None:
    words = ["--model", GOLDEN, "--output", data / "out", "--data", data, "--family", FAMILY, "--tasks", *TASKS]
    settings = ["--config", HELICAL, "--set", "scoring.bootstrap=20", "stages.0.epochs=8", "decoder.widths=[16]"]
    launched(main, *words, *settings)
    table = (data / "out" / "table.csv").read_text()
    rows = list(csv.DictReader(table.splitlines()))
    assert [(row["task"], row["metric"], row["paper"]) for row in rows] == [(task, "mcc", "") for task in TASKS]
    for row in rows:
        results = json.loads((data / "out" / row["task"] / "results.json").read_text())
        assert len(results["classes"]) == TASKS[row["task"]]
        scores = results["scores"]["test"]["mcc"]
        assert [float(row[name]) for name in scores] == pytest.approx([100 * value for value in scores.values()], 1e-4)
    written = {path: path.stat().st_mtime_ns for path in (data / "out").glob("*/results.json")}
    assert "is finished" in launched(main, *words, *settings)
    assert {path: path.stat().st_mtime_ns for path in written} == written
    assert (data / "out" / "table.csv").read_text() == table


def test_a_task_is_asked_as_it_was_published() -> None:
    values = read_yaml(HELICAL)
    task = find_published("nucleotide_transformer/splice_sites_all")
    config = probe_config(values, task, "hf/1k", Path("data"), Path("reports"))
    assert (config.task.kind, config.task.main_metric) == ("multiclass", "accuracy")
    assert config.data.train == "data/nucleotide_transformer/splice_sites_all"
    assert config.decoder.widths == (256, 128, 128, 64)
    assert values["task"]["name"] == "promoter_tata"  # the file's values stay
    assert PAPER[task.name] == 97.9
