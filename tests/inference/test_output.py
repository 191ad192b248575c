"""Files: the same rows in every format, and a job that survives being killed at any moment."""

import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pandas as pd
import pytest

from hyena_ds.api import HyenaDNA
from hyena_ds.errors import InputError
from hyena_ds.hub.export import export_huggingface
from tests.inference.conftest import perturbed_model

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize("pooling", ["mean", "none"])
def test_every_format_holds_the_same(model: HyenaDNA, sequences: list[str], pooling: Any, tmp_path: Path) -> None:
    expected = model.embed(sequences, pooling=pooling)
    for suffix in ("parquet", "h5", "jsonl"):
        path = tmp_path / f"vectors.{suffix}"
        assert model.embed(sequences, pooling=pooling, output=path, part_bases=3000) == path
        assert [found.name for found in tmp_path.iterdir() if found.name.startswith("vectors." + suffix)] == [path.name]
    with h5py.File(tmp_path / "vectors.h5") as file:
        stored = file["embedding"][:]
        assert [name.decode() for name in file["name"]] == [str(number) for number in range(len(sequences))]
        from_hdf5 = np.split(stored, file["embedding_ends"][:-1]) if pooling == "none" else stored
    from_parquet = pd.read_parquet(tmp_path / "vectors.parquet")["embedding"]
    lines = [json.loads(line) for line in (tmp_path / "vectors.jsonl").read_text().splitlines()]
    for number, vectors in enumerate(expected):
        np.testing.assert_allclose(from_hdf5[number], vectors, atol=1e-5)
        np.testing.assert_allclose(np.array(from_parquet[number].tolist()), vectors, atol=1e-5)
        np.testing.assert_allclose(np.array(lines[number]["embedding"]), vectors, atol=1e-5)


def test_what_is_not_scored_is_null_in_json_lines(model: HyenaDNA, tmp_path: Path) -> None:
    path = tmp_path / "scores.jsonl"
    model.score("ACNGT", per_base=True, output=path)
    row = json.loads(path.read_text(), parse_constant=lambda name: pytest.fail(f"{name} is no JSON"))
    assert [value is None for value in row["forward"]] == [True, False, True, False, False]
    assert row["marks"] == [0, 0, 1, 0, 0]


def test_an_output_is_not_replaced_unasked(model: HyenaDNA, tmp_path: Path) -> None:
    path = tmp_path / "vectors.parquet"
    path.write_text("mine")
    with pytest.raises(InputError, match="exists"):
        model.embed("ACGT", output=path)
    assert path.read_text() == "mine"
    model.embed("ACGT", output=path, overwrite=True)
    assert len(pd.read_parquet(path)) == 1


def broken_off(model: HyenaDNA, sequences: list[str], path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A job that dies when it would join its parts."""
    with monkeypatch.context() as patch:
        patch.setattr("hyena_ds.inference.parts.Parts.join", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            model.embed(sequences, output=path, part_bases=3000)


def test_a_broken_job_goes_on_without_computing_again(
    model: HyenaDNA, sequences: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "vectors.parquet"
    broken_off(model, sequences, path, monkeypatch)
    parts = sorted((tmp_path / "vectors.parquet.parts").glob("part-*"))
    assert len(parts) > 2
    parts[1].unlink()
    computed: list[Any] = []
    measure = type(model.frozen).hidden
    monkeypatch.setattr(type(model.frozen), "hidden", lambda *words: computed.append(1) or measure(*words))
    model.embed(sequences, output=path, part_bases=3000)
    assert 0 < len(computed) <= 3
    monkeypatch.undo()
    found = pd.read_parquet(path)
    assert found["name"].tolist() == [str(number) for number in range(len(sequences))]
    np.testing.assert_allclose(np.stack(found["embedding"]), model.embed(sequences), atol=1e-5)


def test_parts_of_another_job_are_refused(
    model: HyenaDNA, sequences: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "vectors.parquet"
    broken_off(model, sequences, path, monkeypatch)
    with pytest.raises(InputError, match="parts of another job"):
        model.embed(sequences, pooling="max", output=path, part_bases=3000)
    with pytest.raises(InputError, match="made of other input"):
        model.embed(sequences[::-1], output=path, part_bases=3000)
    other = HyenaDNA(model.frozen.on(perturbed_model(model.frozen.config), "cpu"), "tests")
    other.frozen.model.backbone.ln_f.bias.add_(1)
    with pytest.raises(InputError, match="parts of another job"):
        other.embed(sequences, output=path, part_bases=3000)


def test_a_killed_command_goes_on_without_loss_or_duplicate(model: HyenaDNA, phage: str, tmp_path: Path) -> None:
    generator = np.random.default_rng(2)
    lengths = generator.integers(20, 1000, 500).tolist()
    starts = generator.integers(0, len(phage) - 1000, len(lengths)).tolist()
    texts = [phage[start : start + length] for start, length in zip(starts, lengths, strict=True)]
    fasta = tmp_path / "many.fa"
    fasta.write_text("".join(f">s{number}\n{text}\n" for number, text in enumerate(texts)))
    network = model.frozen.model
    export_huggingface(dict(network.named_parameters()), {}, network.config, tmp_path / "hf")
    output = tmp_path / "many.parquet"
    command = [sys.executable, "launch/embed.py", "--model", str(tmp_path / "hf"), "--input", str(fasta)]
    command += ["--output", str(output), "--part-bases", "10000", "--device", "cpu"]
    process = subprocess.Popen(command, cwd=ROOT, stderr=subprocess.DEVNULL)
    while process.poll() is None and len(list(tmp_path.glob("many.parquet.parts/part-*"))) < 3:
        time.sleep(0.005)
    assert process.poll() is None, "it was done before it could be killed"
    process.kill()
    process.wait()
    assert not output.exists()
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "goes on behind them" in done.stderr
    assert not list(tmp_path.glob("many.parquet.parts"))
    found = pd.read_parquet(output)
    assert found["name"].tolist() == [f"s{number}" for number in range(len(texts))]
    np.testing.assert_allclose(np.stack(found["embedding"]), model.embed(texts), atol=1e-5)
