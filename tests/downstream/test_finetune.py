"""Whole runs through launch/finetune.py: no trace depends on ranks or stops, and exports predict what runs did."""

import csv
import json
import shutil
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from safetensors.torch import load_file
from torch import Tensor
from transformers import AutoModelForSequenceClassification, AutoModelForTokenClassification, AutoTokenizer

from hyena_ds.api import HyenaDNA
from hyena_ds.errors import run_command
from hyena_ds.hub.import_weights import import_weights
from hyena_ds.hub.run_directory import write_imported_run
from hyena_ds.training.metrics import read_metrics
from launch.finetune import main
from tests.downstream.conftest import CONFIG, PROMOTERS, launched
from tests.engine.ranks import ROOT, run_ranks

FINETUNE = ROOT / "launch" / "finetune.py"
GOLDEN = ROOT / "tests" / "data" / "golden" / "d64_n2_l258"
TOLERANCE = 1e-5


def finetune(config: Path, *words: str) -> str:
    return launched(main, "--config", config, *words)


def finetune_on(ranks: int, config: Path, *words: str, code: int = 0) -> list[str]:
    """What each rank prints, each a process of its own."""
    return run_ranks(ranks, FINETUNE, "--config", config, *words, code=code)


def trace(run: Path) -> list[tuple[float, ...]]:
    """Loss and gradient norm of each step, and the scores between them."""
    keys = ("step", "length", "loss", "grad_norm", "validation_loss", "validation_accuracy")
    return [tuple(line[key] for key in keys if key in line) for line in read_metrics(run)]


def assert_close(found: list[Any], expected: list[Any]) -> None:
    assert len(found) == len(expected)
    for one, other in zip(found, expected, strict=True):
        assert one == pytest.approx(other, rel=TOLERANCE)


def results(run: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((run / "results.json").read_text())
    return found


def predicted(run: Path, split: str = "test") -> dict[str, dict[str, str]]:
    with (run / f"predictions_{split}.csv").open() as file:
        return {row["example"]: row for row in csv.DictReader(file)}


def newest_parameters(run: Path) -> dict[str, Tensor]:
    return load_file(sorted((run / "checkpoints").iterdir())[-1] / "parameters-00001-of-00001.safetensors")


def opened(auto_class: Any, run: Path) -> Any:
    return auto_class.from_pretrained(run / "export", trust_remote_code=True, local_files_only=True).eval()


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("uninterrupted")
    path = directory / "config.yaml"
    path.write_text(CONFIG.format(run=directory / "run", data=PROMOTERS), encoding="utf-8")
    finetune(path)
    return directory / "run"


def test_a_run_leaves_results_plots_and_predictions(uninterrupted: Path) -> None:
    found = results(uninterrupted)
    assert found["classes"] == ["0", "1"]
    assert found["examples"] == {"train": 77, "valid": 19, "test": 24}
    assert set(found["scores"]["test"]) == {
        "accuracy",
        "precision",
        "recall",
        "f1",
        "f1_macro",
        "mcc",
        "auroc",
        "auprc",
    }
    for values in found["scores"]["test"].values():
        assert values["low"] <= values["value"] <= values["high"]
    lengths = [line["length"] for line in read_metrics(uninterrupted) if "loss" in line]
    assert lengths == [64] * 6 + [251] * 10
    names = {path.name for path in uninterrupted.iterdir()}
    assert names >= {"results.csv", "confusion.png", "roc.png", "precision_recall.png", "training.png", "export"}
    rows = predicted(uninterrupted).values()
    assert len(rows) == 24
    right = [max(("0", "1"), key=lambda name: float(row[name])) == row["target"] for row in rows]
    assert np.mean(right) == pytest.approx(found["scores"]["test"]["accuracy"]["value"])


def test_the_export_predicts_what_the_run_did(uninterrupted: Path) -> None:
    lines = PROMOTERS.read_text().splitlines()
    rows = list(predicted(uninterrupted).values())
    sequences = [lines[int(row["example"].rpartition(" ")[2]) - 1].partition(",")[0] for row in rows]
    model = opened(AutoModelForSequenceClassification, uninterrupted)
    tokenizer = AutoTokenizer.from_pretrained(uninterrupted / "export", trust_remote_code=True)
    batch = tokenizer([*sequences, "ACGT" * 64], padding=True, return_tensors="pt")  # all but the last are padded
    with torch.inference_mode():
        found = model(**batch).logits.softmax(-1)[:-1]
    expected = torch.tensor([[float(row["0"]), float(row["1"])] for row in rows])
    assert float((found - expected).norm() / expected.norm()) <= TOLERANCE
    assert model.config.id2label == {0: "0", 1: "1"}
    assert model.config.problem_type == "single_label_classification"


def test_a_run_and_its_export_predict_sequences(uninterrupted: Path) -> None:
    lines = PROMOTERS.read_text().splitlines()
    rows = list(predicted(uninterrupted).values())
    sequences = [lines[int(row["example"].rpartition(" ")[2]) - 1].partition(",")[0].lower() for row in rows]
    for source in (uninterrupted, uninterrupted / "export"):
        trained = HyenaDNA.from_pretrained(source, device="cpu", tokens_per_batch=1000)
        assert trained.classes == ("0", "1")
        found = np.asarray(trained.predict(sequences, output="numpy"))
        assert found[:, 1] == pytest.approx([float(row["1"]) for row in rows], rel=TOLERANCE)
        assert trained.predict(sequences[3], output="numpy")[0] == pytest.approx(found[3], rel=TOLERANCE)


def test_the_same_weights_train_alike_from_every_source(config: Path, tmp_path: Path) -> None:
    write_imported_run(import_weights(GOLDEN / "original"), tmp_path / "imported")
    traces = []
    for number, source in enumerate((GOLDEN / "original", GOLDEN / "longsafari_hf", tmp_path / "imported")):
        words = [f"start.checkpoint={source}", "model=null", "stages.0.steps=1", "stages.1.steps=1"]
        finetune(config, *words, f"run_directory={tmp_path / str(number)}")
        traces.append(trace(tmp_path / str(number)))
        config_used = yaml.safe_load((tmp_path / str(number) / "config.yaml").read_text())
        assert config_used["model"]["d_model"] == 64
    assert_close(traces[1], traces[0])
    assert_close(traces[2], traces[0])


@pytest.mark.parametrize("words", [["engine.zero_stage=3"], ["parallel.sequence_parallel_size=2"]], ids=str)
def test_two_ranks_trace_what_one_rank_traces(config: Path, uninterrupted: Path, words: list[str]) -> None:
    finetune_on(2, config, *words)
    assert_close(trace(config.parent / "run"), trace(uninterrupted))
    assert_close(
        [float(row["1"]) for row in predicted(config.parent / "run").values()],
        [float(row["1"]) for row in predicted(uninterrupted).values()],
    )


@pytest.mark.parametrize("method", ["full", "frozen"])
def test_a_resumed_run_keeps_its_head_its_best_step_and_its_trace(
    config: Path, uninterrupted: Path, method: str
) -> None:
    words = [] if method == "full" else [f"start.checkpoint={uninterrupted}", "method=frozen", "model=null"]
    finetune(config, "--stop-after-steps", "10", *words)
    run = config.parent / "run"
    assert not (run / "results.json").exists()
    before = newest_parameters(run)
    assert before["score.weight"].norm() > 0
    shutil.copytree(run, config.parent / "whole")
    printed = finetune(config, *words)
    assert "resuming from" in printed
    whole = config.parent / "whole"
    shutil.rmtree(whole)
    if method == "full":
        assert trace(run) == trace(uninterrupted)
        assert results(run)["scores"] == results(uninterrupted)["scores"]
    else:
        finetune(config, *words, f"run_directory={whole}")
        assert trace(run) == trace(whole)
        after = newest_parameters(run)
        assert not torch.equal(before["score.weight"], after["score.weight"])


def test_a_finished_run_is_left_as_it_is(config: Path) -> None:
    finetune(config, "stages.0.steps=1", "stages.1.steps=1")
    before = (config.parent / "run" / "results.json").stat().st_mtime_ns
    printed = finetune(config, "stages.0.steps=1", "stages.1.steps=1")
    assert "is finished" in printed
    assert (config.parent / "run" / "results.json").stat().st_mtime_ns == before


def test_a_frozen_backbone_changes_the_head_alone_and_a_probe_does_the_same(
    config: Path, uninterrupted: Path, tmp_path: Path
) -> None:
    words = [f"start.checkpoint={uninterrupted}/export", "model=null", "decoder.widths=[8]"]
    traces = []
    for method in ("frozen", "probe"):
        run = tmp_path / method
        finetune(config, *words, f"method={method}", f"run_directory={run}")
        start = load_file(uninterrupted / "export" / "model.safetensors")
        trained = load_file(run / "export" / "model.safetensors")
        changed = {name for name in start if not torch.equal(start[name], trained[name])}
        assert {name for name in changed if not name.startswith("score.")} == set()
        assert trained["score.weight"].shape == (2, 8)
        traces.append(trace(run))
    assert_close(*traces)


def test_folds_and_seeds_are_summed_up(config: Path) -> None:
    words = ["split.folds=2", "seeds=[1, 2]", "split.test=0.0", "stages.0.steps=1", "stages.1.steps=2"]
    words += ["model.bidirectional=true"]
    printed = finetune(config, *words, "scoring.bootstrap=0")
    run = config.parent / "run"
    summary = results(run)
    single = [results(Path(place)) for place in summary["runs"]]
    assert [Path(place).name for place in summary["runs"]] == [
        "seed-1-fold-0", "seed-1-fold-1", "seed-2-fold-0", "seed-2-fold-1"
    ]  # fmt: skip
    values = [one["scores"]["test"]["accuracy"]["value"] for one in single]
    assert summary["scores"]["test"]["accuracy"]["mean"] == pytest.approx(np.mean(values))
    assert summary["scores"]["test"]["accuracy"]["deviation"] == pytest.approx(np.std(values, ddof=1))
    tested = [set(predicted(Path(place))) for place in summary["runs"][:2]]
    assert not tested[0] & tested[1]
    assert len(tested[0] | tested[1]) == 120
    assert "mean ± deviation of 4 runs" in printed


def test_early_stopping_ends_a_run_and_keeps_its_best_step(config: Path) -> None:
    words = ["scoring.every_steps=1", "scoring.patience=2", "optimizer.learning_rate=1e-12", "task.metric=accuracy"]
    printed = finetune(config, *words)
    assert "no better score in 2 tries" in printed
    assert results(config.parent / "run")["best_step"] == 1
    assert max(line["step"] for line in read_metrics(config.parent / "run")) == 3
    assert [path.name for path in (config.parent / "run" / "best").iterdir()] == ["step-00000001"]


def write_gc_task(path: Path, kind: str) -> None:
    """Labels that the bases themselves tell, so that a small model learns them."""
    with PROMOTERS.open() as file:
        sequences = [row["sequence"][:60] for row in csv.DictReader(file)]
    rows = []
    for sequence in sequences:
        share = sum(base in "GC" for base in sequence) / len(sequence)
        label = {
            "position": "".join("1" if base in "GC" else "0" for base in sequence),
            "regression": f"{500 + 900 * share:.6f}",
            "multilabel": ";".join(name for name, there in (("gc", share > 0.5), ("cpg", "CG" in sequence)) if there),
        }[kind]
        rows.append(f"{sequence},{label}\n")
    path.write_text("sequence,label\n" + "".join(rows))


@pytest.mark.parametrize(
    ("kind", "metric", "least", "figure"),
    [
        ("position", "accuracy", 0.95, "confusion.png"),
        ("regression", "pearson", 0.9, "values.png"),
        ("multilabel", "auroc", 0.75, "roc.png"),
    ],
)
def test_every_kind_of_task_is_learned(config: Path, kind: str, metric: str, least: float, figure: str) -> None:
    write_gc_task(config.parent / "data.csv", kind)
    mode = "position" if kind == "position" else "pool"
    words = [f"data.train={config.parent}/data.csv", f"task.kind={kind}", f"decoder.mode={mode}", "decoder.dropout=0.0"]
    words += ["data.reverse_complement=false", "scoring.average_strands=false", "stages.1.steps=90"]
    words += ["optimizer.learning_rate=1e-2", "model.embed_dropout=0.0", "scoring.every_steps=30"]
    finetune(config, *words)
    run = config.parent / "run"
    assert results(run)["scores"]["test"][metric]["value"] >= least
    assert (run / figure).is_file()
    if kind == "position":
        assert opened(AutoModelForTokenClassification, run).config.id2label == {0: "0", 1: "1"}
        with pytest.raises(ValueError, match="token classification"):
            opened(AutoModelForSequenceClassification, run)(torch.full((1, 5), 7))
    else:
        problem = {"regression": "regression", "multilabel": "multi_label_classification"}[kind]
        assert opened(AutoModelForSequenceClassification, run).config.problem_type == problem
    if kind == "regression":
        rows = list(predicted(run).values())
        data = (config.parent / "data.csv").read_text().splitlines()
        sequences = [data[int(row["example"].rpartition(" ")[2]) - 1].partition(",")[0] for row in rows]
        for source in (run, run / "export"):
            found = np.asarray(HyenaDNA.from_pretrained(source, device="cpu").predict(sequences, output="numpy"))
            assert found[:, 0] == pytest.approx([float(row["value_0"]) for row in rows], rel=TOLERANCE)
        again = [f"start.checkpoint={run}", "start.keep_head=true", "model=null", "scoring.every_steps=1"]
        words = [word for word in words if not word.startswith(("model.", "scoring", "optimizer"))]
        finetune(config, *words, *again, "optimizer.learning_rate=1e-9", f"run_directory={run}-again",
                 "stages.0.steps=1", "stages.1.steps=1")  # fmt: skip
        kept = predicted(Path(f"{run}-again")).values()
        assert [float(row["value_0"]) for row in kept] == pytest.approx(found[:, 0], rel=1e-3)


def test_two_ranks_of_one_sequence_learn_positions_as_one_rank_does(config: Path, tmp_path: Path) -> None:
    write_gc_task(tmp_path / "data.csv", "position")
    words = [f"data.train={tmp_path}/data.csv", "task.kind=position", "decoder.mode=position", "stages.1.steps=2"]
    words += ["class_weights=balanced", "scoring.average_strands=true", "scoring.bootstrap=0"]
    finetune(config, *words, f"run_directory={tmp_path}/alone")
    finetune_on(2, config, *words, "parallel.sequence_parallel_size=2", f"run_directory={tmp_path}/shared")
    assert_close(trace(tmp_path / "shared"), trace(tmp_path / "alone"))
    tables = [(tmp_path / name / "predictions_test.csv").read_text().splitlines() for name in ("alone", "shared")]
    assert len(tables[0]) == 24 * 60 + 1
    for one, other in zip(*(map(str, table[1:]) for table in tables), strict=True):
        assert one.split(",")[:3] == other.split(",")[:3]
        assert float(one.split(",")[-1]) == pytest.approx(float(other.split(",")[-1]), rel=1e-4)


def error_line(printed: str) -> str:
    lines = [line for line in printed.splitlines() if line.startswith("error:")]
    assert len(lines) == 1, printed
    return lines[0]


def refused(config: Path, words: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    """The line with which the command ends, with exit code 2 and nothing written."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", [str(FINETUNE), "--config", str(config), *words])
        with pytest.raises(SystemExit) as ended:
            run_command(main)
    assert ended.value.code == 2
    assert not (config.parent / "run").exists()
    return error_line(capsys.readouterr().err)


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["data.train=/nowhere.csv"], ["/nowhere.csv"]),
        (["data.label=target"], ["no label column 'target'", "sequence, label"]),
        (["model.l_max=200"], ["251 bases", "l_max is 200", "task.longer=centre"]),
        (["task.classes=[0, 1]"], ["task.classes"]),
        (["task.classes=['1', '2']"], ["class '0' is none of those", "task.classes"]),
        (["task.kind=binry"], ["task.kind='binry'"]),
        (["decoder.mode=position"], ["task.kind=binary", "decoder.mode=position"]),
        (["method=probe"], ["method=probe", "start.checkpoint"]),
        (["start.checkpoint=nobody/nothing"], ["nobody/nothing", "hub"]),
        (["start.checkpoint=" + str(GOLDEN / "longsafari_hf"), "model=null", "start.keep_head=true"], ["no head"]),
        (["class_weights=[1.0]"], ["class_weights=[1.0]", "0, 1"]),
    ],
    ids=str,
)
def test_bad_input_is_one_line_and_exit_code_2(
    config: Path, words: list[str], told: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    line = refused(config, words, capsys)
    assert all(part in line for part in told), line


@pytest.mark.parametrize(
    ("row", "told"),
    [
        ("ACXT,1", "character 'X' at position 3"),
        (",1", "the sequence is empty"),
        (f"{'A' * 258},1", "the sequence has 258 bases and [SEP], the model's l_max is 258"),
    ],
    ids=["unknown", "empty", "long"],
)
def test_a_bad_row_is_one_line_and_exit_code_2(
    config: Path, row: str, told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (config.parent / "rows.csv").write_text("sequence,label\n" + "ACGT,0\nACGA,1\n" * 4 + f"{row}\n")
    line = refused(config, [f"data.train={config.parent}/rows.csv"], capsys)
    assert f"rows.csv line 10: {told}" in line


def test_a_class_that_only_the_test_set_has_is_refused(config: Path) -> None:
    (config.parent / "test.csv").write_text("sequence,label\nACGT,2\n")
    line = error_line("".join(finetune_on(2, config, f"data.test={config.parent}/test.csv", code=2)))
    assert "test.csv line 2: class '2' is none of those of the training set (0, 1)" in line


def test_a_head_of_another_width_is_refused(
    config: Path, uninterrupted: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = [f"start.checkpoint={uninterrupted}", "start.keep_head=true", "model=null"]
    assert "every check passed" in finetune(config, *words, "--dry-run")
    words += ["task.kind=multiclass", "task.classes=['0', '1', '2']"]
    assert "has 2 outputs, the task has 3" in refused(config, words, capsys)
