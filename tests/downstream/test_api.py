"""`HyenaDNA.fine_tune` and `.predict`: the runs of launch/finetune.py, and the same answer for every form of input."""

import csv
import io
import json
import os
import signal
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pandas as pd
import pytest
import torch
from safetensors.torch import load_file

import launch.finetune
import launch.predict
from hyena_ds.api import HyenaDNA
from hyena_ds.downstream.dataset import ExampleBatch, ExampleSet
from hyena_ds.errors import InputError, StoppedError
from hyena_ds.inference.frozen import Precision
from hyena_ds.training.metrics import read_metrics
from tests.downstream.conftest import PROMOTERS, launched
from tests.engine.ranks import ROOT

GOLDEN = ROOT / "tests" / "data" / "golden" / "d64_n2_l258" / "longsafari_hf"
SETTINGS = {
    "split.test": 0.2,
    "scoring.bootstrap": 0,
    "logging.tensorboard": False,
    "engine.precision": "fp32",
}
COMPLEMENT = str.maketrans("ACGT", "TGCA")


@pytest.fixture(scope="module")
def model() -> HyenaDNA:
    return HyenaDNA.from_pretrained(GOLDEN, device="cpu", tokens_per_batch=1000)


@pytest.fixture(scope="module")
def frame() -> pd.DataFrame:
    return pd.read_csv(PROMOTERS)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("api") / "promoters"


@pytest.fixture(scope="module")
def trained(model: HyenaDNA, run: Path) -> HyenaDNA:
    return model.fine_tune(PROMOTERS, run, epochs=1, settings=SETTINGS)


@pytest.fixture(scope="module")
def sequences(frame: pd.DataFrame) -> list[str]:
    """Of 60 to 251 bases."""
    return [sequence[: 251 - 10 * number] for number, sequence in enumerate(frame["sequence"][:20])]


def probabilities(model: HyenaDNA, given: Any, **options: Any) -> np.ndarray:
    return np.asarray(model.predict(given, output="numpy", **options))


def test_it_predicts_what_its_run_did(trained: HyenaDNA, run: Path, frame: pd.DataFrame) -> None:
    assert trained.results == json.loads((run / "results.json").read_text())
    assert trained.classes == ("0", "1")
    with (run / "predictions_test.csv").open() as file:
        rows = list(csv.DictReader(file))
    places = [int(row["example"].rpartition(" ")[2]) - 2 for row in rows]
    found = trained.predict(frame["sequence"][places])
    assert isinstance(found, pd.DataFrame)
    assert found["name"].tolist() == [str(place) for place in places]
    second = np.stack(found["probabilities"].tolist())[:, 1]
    assert second == pytest.approx([float(row["1"]) for row in rows], rel=1e-5)
    assert found["prediction"].tolist() == ["1" if float(row["1"]) > 0.5 else "0" for row in rows]


def test_it_is_the_call_of_the_command(trained: HyenaDNA, run: Path) -> None:
    assert f"{run} is finished" in launched(launch.finetune.main, "--config", run / "config.yaml")


def test_a_table_in_memory_trains_as_its_file_does(
    model: HyenaDNA, trained: HyenaDNA, run: Path, frame: pd.DataFrame, tmp_path: Path
) -> None:
    again = model.fine_tune(frame, tmp_path / "run", epochs=1, settings=SETTINGS)
    losses = [[line["loss"] for line in read_metrics(place) if "loss" in line] for place in (run, tmp_path / "run")]
    assert losses[0] == losses[1]
    assert again.predict("ACGT").equals(trained.predict("ACGT"))  # type: ignore[union-attr]
    finished = (tmp_path / "run" / "results.json").stat().st_mtime_ns
    opened = model.fine_tune(frame, tmp_path / "run", epochs=1, settings=SETTINGS)
    assert opened.results == again.results
    assert (tmp_path / "run" / "results.json").stat().st_mtime_ns == finished
    with pytest.raises(InputError, match="holds other examples than these"):
        model.fine_tune(frame[1:], tmp_path / "run", epochs=1, settings=SETTINGS)


def test_every_form_of_input_gives_the_same(trained: HyenaDNA, sequences: list[str], tmp_path: Path) -> None:
    names = [f"gene{number}" for number in range(len(sequences))]
    table = pd.DataFrame({"name": names, "sequence": sequences})
    (tmp_path / "genes.fa").write_text(
        "".join(f">{name}\n{text}\n" for name, text in zip(names, sequences, strict=True))
    )
    table.to_csv(tmp_path / "genes.csv", index=False)
    table.to_parquet(tmp_path / "genes.parquet")
    files = [tmp_path / name for name in ("genes.fa", "genes.csv", "genes.parquet")]
    expected = probabilities(trained, sequences)
    assert expected.shape == (20, 2)
    np.testing.assert_allclose(expected.sum(axis=1), 1, atol=1e-6)
    mapping = dict(zip(names, sequences, strict=True))
    for form in (*files, str(files[0]), table, pd.Series(sequences), tuple(sequences), iter(sequences), mapping):
        np.testing.assert_array_equal(probabilities(trained, form), expected)
    for number, sequence in enumerate(sequences):
        np.testing.assert_allclose(probabilities(trained, sequence.lower())[0], expected[number], rtol=1e-5)


def test_files_hold_the_same(trained: HyenaDNA, sequences: list[str], tmp_path: Path) -> None:
    expected = probabilities(trained, sequences)
    for suffix in ("parquet", "h5", "jsonl"):
        assert trained.predict(sequences, output=tmp_path / f"classes.{suffix}", part_bases=500)
    found = pd.read_parquet(tmp_path / "classes.parquet")
    np.testing.assert_allclose(np.stack(found["probabilities"].tolist()), expected, rtol=1e-5)
    lines = [json.loads(line) for line in (tmp_path / "classes.jsonl").read_text().splitlines()]
    assert [line["prediction"] for line in lines] == found["prediction"].tolist()
    with h5py.File(tmp_path / "classes.h5") as file:
        np.testing.assert_allclose(file["probabilities"][:], expected, rtol=1e-5)


def test_both_strands_average_the_outputs(trained: HyenaDNA, sequences: list[str]) -> None:
    strands = [sequences, [sequence.translate(COMPLEMENT)[::-1] for sequence in sequences]]
    forward, reverse = (probabilities(trained, strand) for strand in strands)
    assert np.abs(forward - reverse).max() > 1e-2
    means = np.sqrt(forward * reverse)  # softmax of the mean of two outputs
    expected = means / means.sum(axis=1, keepdims=True)
    np.testing.assert_allclose(probabilities(trained, sequences, both_strands=True), expected, rtol=1e-4)


def test_the_backbone_of_a_trained_model_is_its_own(model: HyenaDNA, trained: HyenaDNA, run: Path) -> None:
    assert not np.allclose(model.embed("ACGTTGCA"), trained.embed("ACGTTGCA"), rtol=1e-4)
    weights = load_file(run / "export" / "model.safetensors")
    own = dict(trained.frozen.model.named_parameters())
    assert weights["hyena.backbone.ln_f.weight"].equal(own["backbone.ln_f.weight"])


def write_task(frame: pd.DataFrame, kind: str) -> pd.DataFrame:
    sequences = frame["sequence"].str[:40]
    labels = {
        "position": sequences.str.replace("[GC]", "1", regex=True).str.replace("[AT]", "0", regex=True),
        "regression": sequences.str.count("G") / 40,
        "multilabel": sequences.map(lambda text: "gc;cpg" if "CG" in text else ""),
    }[kind]
    return pd.DataFrame({"bases": sequences, "what": labels})


@pytest.mark.parametrize("kind", ["position", "regression", "multilabel"])
def test_every_kind_of_task(model: HyenaDNA, frame: pd.DataFrame, kind: Any, tmp_path: Path) -> None:
    settings = SETTINGS | {"data.sequence": "bases", "data.label": "what"}
    table = write_task(frame, kind)
    trained = model.fine_tune(table, tmp_path / "run", kind=kind, method="frozen", epochs=1, settings=settings)
    texts = ["ACGTTGCA", "ACG"]
    found = trained.predict(texts)
    assert isinstance(found, pd.DataFrame)
    assert trained.predict(texts, output=tmp_path / "out.h5") == tmp_path / "out.h5"
    both = trained.predict(texts, both_strands=True, output="numpy")
    match kind:
        case "position":
            assert [len(classes) for classes in found["prediction"]] == [8, 3]
            assert found["probabilities"][0].shape == (8, 2)
            reverse = trained.predict(texts[0].translate(COMPLEMENT)[::-1], output="numpy")[0][::-1]
            means = np.sqrt(found["probabilities"][0] * reverse)
            np.testing.assert_allclose(both[0], means / means.sum(axis=1, keepdims=True), rtol=1e-4)
        case "regression":
            assert np.stack(found["values"].tolist()).shape == (2, 1)
            assert "prediction" not in found
        case "multilabel":
            for chosen, shares in zip(found["prediction"], found["probabilities"], strict=True):
                assert list(chosen) == [
                    name for name, share in zip(trained.classes, shares, strict=True) if share > 0.5
                ]


def test_of_several_runs_the_best_is_returned(model: HyenaDNA, tmp_path: Path) -> None:
    trained = model.fine_tune(PROMOTERS, tmp_path / "run", epochs=1, settings=SETTINGS | {"seeds": [1, 2]})
    assert trained.results is not None
    assert trained.results["scores"]["test"]["mcc"]["runs"] == 2
    values = {}
    for place in trained.results["runs"]:
        found = json.loads((Path(place) / "results.json").read_text())
        values[place] = found["scores"]["valid"][found["metric"]]["value"]
    assert any(trained.source.startswith(place) for place, value in values.items() if value == max(values.values()))
    with pytest.raises(InputError, match=r"holds 2 runs; name one of them, such as .*/seed-1"):
        HyenaDNA.from_pretrained(tmp_path / "run")


def test_a_program_goes_on_as_it_was(model: HyenaDNA, trained: HyenaDNA, run: Path) -> None:
    variables, handler = dict(os.environ), signal.getsignal(signal.SIGTERM)
    model.fine_tune(PROMOTERS, run, epochs=1, settings=SETTINGS)
    assert dict(os.environ) == variables
    assert signal.getsignal(signal.SIGTERM) is handler
    assert not torch.distributed.is_initialized()


def test_a_stopped_call_is_saved_and_goes_on(
    model: HyenaDNA, trained: HyenaDNA, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    batch, made = ExampleSet.batch, []

    def stopped_in_the_third_step(*words: Any) -> ExampleBatch:
        made.append(words)
        if len(made) == 3:
            signal.raise_signal(signal.SIGTERM)
        return batch(*words)

    monkeypatch.setattr(ExampleSet, "batch", stopped_in_the_third_step)
    with pytest.raises(StoppedError, match="the same call goes on"):
        model.fine_tune(PROMOTERS, tmp_path / "run", epochs=1, settings=SETTINGS)
    again = model.fine_tune(PROMOTERS, tmp_path / "run", epochs=1, settings=SETTINGS)
    assert again.results is not None
    assert trained.results is not None
    assert again.results["scores"] == trained.results["scores"]


def test_what_fine_tune_refuses(model: HyenaDNA, tmp_path: Path) -> None:
    cases: list[tuple[Any, dict[str, Any], str]] = [
        ("nowhere.csv", {}, "no data at nowhere.csv"),
        (pd.DataFrame({"sequence": ["ACGT"], "y": [0]}), {}, "no label column 'label'"),
        (PROMOTERS, {"kind": "binry"}, "task.kind='binry'"),
        (PROMOTERS, {"settings": {"decoder.mod": "last"}}, "unknown key decoder.mod; the nearest valid key is mode"),
        (PROMOTERS, {"settings": {"stages.3.steps": 1}}, "settings['stages.3.steps']: '3' is no position"),
    ]
    for data, options, message in cases:
        with pytest.raises(InputError) as caught:
            model.fine_tune(data, tmp_path / "run", **options)
        assert message in str(caught.value)
    mended = pd.DataFrame({"sequence": ["ACGT", "ACGA"] * 6, "label": [0, 1] * 6})
    model.fine_tune(mended, tmp_path / "run", epochs=1, settings=SETTINGS)  # a table refused leaves nothing behind


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (["ACGT", ""], "sequence '1' is empty"),
        ("ACXGT", "'X' at base 3"),
        ("A" * 258, "has 258 bases, the model's l_max leaves room for 257"),
        ("missing.fa", "no file at missing.fa"),
    ],
)
def test_what_predict_refuses(trained: HyenaDNA, given: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        trained.predict(given)


def test_a_model_without_a_head_predicts_nothing(model: HyenaDNA) -> None:
    assert model.classes == ()
    with pytest.raises(InputError, match="carries no head of a task"):
        model.predict("ACGT")


def test_the_longest_sequence_and_its_end_fit(trained: HyenaDNA) -> None:
    both = probabilities(trained, ["A" * 257, "C" * 250])
    np.testing.assert_allclose(both[0], probabilities(trained, "A" * 257)[0], rtol=1e-5)


@pytest.mark.gpu
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_a_gpu_predicts_what_the_cpu_does(
    trained: HyenaDNA, run: Path, sequences: list[str], precision: Precision
) -> None:
    on_gpu = HyenaDNA.from_pretrained(run, device="cuda", precision=precision)
    tolerance = 1e-4 if precision == "fp32" else 3e-2
    np.testing.assert_allclose(probabilities(on_gpu, sequences), probabilities(trained, sequences), atol=tolerance)


def test_the_command_prints_a_table(trained: HyenaDNA, run: Path) -> None:
    printed = launched(launch.predict.main, "--model", run, "--sequence", "ACGTTGCA", "--device", "cpu")
    found = pd.read_csv(io.StringIO(printed), sep="\t")
    assert found[["0", "1"]].to_numpy()[0] == pytest.approx(probabilities(trained, "ACGTTGCA")[0], rel=1e-4)
