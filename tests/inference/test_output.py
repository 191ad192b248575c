"""Files: the same rows in every format, and a job that survives being killed at any moment."""

import errno
import json
import re
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from torch import Tensor

from hyena_ds.api import HyenaDNA
from hyena_ds.errors import EXIT_STORAGE, InputError
from hyena_ds.genome.progress import Progress
from hyena_ds.hub.export import export_huggingface
from hyena_ds.inference.batches import Piece, batches
from hyena_ds.inference.frozen import FrozenModel
from hyena_ds.inference.measure import Measured
from hyena_ds.inference.measurements import Embedding
from hyena_ds.inference.parts import Parts
from hyena_ds.inference.sequence_job import Reading, sequence_job
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


def rows_kept(path: Path) -> int:
    """Rows in the parts of the output at `path`."""
    parts = path.with_name(path.name + ".parts").glob("part-*")
    return sum(int(pa.ipc.open_file(part).read_all().num_rows) for part in parts)


def counted_sequences(patch: pytest.MonkeyPatch) -> list[int]:
    """How many sequences each batch has that is computed from now on."""
    computed: list[int] = []
    hidden = FrozenModel.hidden

    def counted(model: FrozenModel, tokens: Tensor, *words: Any) -> Tensor:
        computed.append(len(tokens))
        return hidden(model, tokens, *words)

    patch.setattr(FrozenModel, "hidden", counted)
    return computed


def test_a_broken_job_goes_on_without_computing_again(
    model: HyenaDNA, sequences: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "vectors.parquet"
    broken_off(model, sequences, path, monkeypatch)
    parts = sorted((tmp_path / "vectors.parquet.parts").glob("part-*"))
    assert len(parts) > 2
    parts[1].unlink()
    missing = len(sequences) - rows_kept(path)
    computed = counted_sequences(monkeypatch)
    model.embed(sequences, output=path, part_bases=3000)
    assert sum(computed) == missing > 0
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


def test_a_part_is_started_before_the_one_before_it_is_a_table(
    model: HyenaDNA, sequences: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    events: list[str] = []
    hidden, table = FrozenModel.hidden, Measured.table
    monkeypatch.setattr(FrozenModel, "hidden", lambda *words: events.append("batch") or hidden(*words))
    monkeypatch.setattr(Measured, "table", lambda part: events.append("table") or table(part))
    done: list[int] = []
    monkeypatch.setattr(Progress, "advance", lambda progress, bases: done.append(bases))
    model.embed(sequences[:3] * 4, output=tmp_path / "vectors.parquet", part_bases=1003)
    assert events.count("table") == 4
    assert events.index("table") > len(list(batches([Piece(text.encode()) for text in sequences[:3]], 2048, 1026)))
    assert sum(done) == sum(map(len, sequences[:3] * 4))
    assert not [thread for thread in threading.enumerate() if thread.name.startswith(("parts", "ahead"))]


@pytest.mark.parametrize("failing", [1, 6])
def test_a_part_that_cannot_be_written_ends_the_job_which_can_go_on(
    model: HyenaDNA, sequences: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, failing: int
) -> None:
    path, add = tmp_path / "vectors.parquet", Parts.add

    def full(parts: Parts, number: int, *words: Any) -> None:
        if number == failing:
            raise OSError(errno.ENOSPC, "No space left on device")
        add(parts, number, *words)

    with monkeypatch.context() as patch:
        patch.setattr(Parts, "add", full)
        with pytest.raises(OSError, match="No space left"):
            model.embed(sequences[2:3] * 8, output=path, part_bases=1000)
    kept = sorted(found.name[:11] for found in tmp_path.glob("vectors.parquet.parts/part-*"))
    assert kept[:failing] == [f"part-{number:06d}" for number in range(failing)]
    assert f"part-{failing:06d}" not in kept
    assert not [thread for thread in threading.enumerate() if thread.name.startswith(("parts", "ahead"))]
    model.embed(sequences[2:3] * 8, output=path, part_bases=1000)
    np.testing.assert_allclose(np.stack(pd.read_parquet(path)["embedding"]), model.embed(sequences[2:3] * 8), atol=1e-5)


def test_a_disk_that_is_full_is_an_error_of_storage(model: HyenaDNA, sequences: list[str], tmp_path: Path) -> None:
    script = (
        "import resource, sys; from hyena_ds.errors import guarded; from hyena_ds.api import HyenaDNA\n"
        "model = HyenaDNA.from_pretrained(sys.argv[1], device='cpu')\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (5000, 5000))\n"
        "sys.exit(guarded(lambda: model.embed(['ACGT' * 100] * 100, output=sys.argv[2], part_bases=20000) and None))"
    )
    network = model.frozen.model
    export_huggingface(dict(network.named_parameters()), {}, network.config, tmp_path / "hf")
    command = [sys.executable, "-c", script, str(tmp_path / "hf"), str(tmp_path / "vectors.parquet")]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == EXIT_STORAGE, done.stderr
    assert re.fullmatch("error: .*\n", done.stderr), done.stderr


def test_a_job_goes_on_with_the_parts_it_finds_where_the_default_is_another(
    model: HyenaDNA, sequences: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "vectors.parquet"
    broken_off(model, sequences, path, monkeypatch)
    with pytest.raises(InputError, match=r"has another part_bases\)"):
        model.embed(sequences, output=path, part_bases=5000)
    missing = len(sequences) - rows_kept(path)
    with monkeypatch.context() as patch:
        done: list[int] = []
        computed = counted_sequences(patch)
        patch.setattr(Progress, "advance", lambda progress, bases: done.append(bases))
        model.embed(sequences, output=path)
    assert sum(done) == sum(map(len, sequences))
    assert sum(computed) == missing < len(sequences)
    np.testing.assert_allclose(np.stack(pd.read_parquet(path)["embedding"]), model.embed(sequences), atol=1e-5)


@pytest.mark.parametrize(("tokens", "bases"), [(2**13, 2**23), (2**18, 2**24), (2**20, 2**26)])
def test_a_part_has_enough_batches_of_like_length(model: HyenaDNA, tokens: int, bases: int) -> None:
    frozen = FrozenModel.on(model.frozen.model, "cpu", tokens_per_batch=tokens)
    job = sequence_job("embed", frozen, Embedding(frozen, "mean"), ["ACGT"], Reading())
    assert job.part_bases == bases
