import dataclasses
import json
import runpy
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from safetensors.torch import load_file

from hyena_ds.engine.checkpoint_store import Checkpoint, write_checkpoint
from hyena_ds.errors import InputError, guarded
from hyena_ds.genome.index import ShardIndex, Source, write_index
from hyena_ds.hub.import_weights import import_weights
from hyena_ds.hub.model_card import DataSource
from hyena_ds.hub.run_directory import read_trained_model, write_imported_run
from hyena_ds.model.config import ModelConfig
from hyena_ds.model.language_model import HyenaLanguageModel

LAUNCH = Path(__file__).parent.parent.parent / "launch"
CONFIG = ModelConfig(d_model=8, n_layer=2, l_max=34)
Command = Callable[..., int]


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch) -> Command:
    """Runs a script of launch/ with arguments; returns its exit code."""

    def run(name: str, *arguments: Any) -> int:
        monkeypatch.setattr(sys, "argv", [name, *map(str, arguments)])
        monkeypatch.setattr(sys, "path", [*sys.path])
        return guarded(runpy.run_path(str(LAUNCH / name))["main"])

    return run


@pytest.fixture
def run_directory(tmp_path: Path) -> Path:
    """A run of two checkpoints, metrics and a shard directory."""
    composition = {"A": 30, "C": 20, "G": 20, "T": 30, "N": 0}
    source = Source(
        species="yeast", assembly="R64", file="/data/yeast.fa", sha256="0", composition=composition, soft_masked=0
    )
    (tmp_path / "shards").mkdir()
    index = ShardIndex(policy="tile", sources=(source,), shards=(), sequences=(), splits={})
    write_index(index, tmp_path / "shards/index.json")
    values = {
        "run_directory": "runs/yeast",
        "model": dataclasses.asdict(CONFIG),
        "data": {"directory": str(tmp_path / "shards")},
        "stages": [{"length": 16, "steps": 10}, {"length": 32, "steps": 10}],
    }
    run = tmp_path / "run"
    for step in (10, 20):
        torch.manual_seed(step)
        parameters = dict(HyenaLanguageModel(CONFIG).named_parameters())
        checkpoint = Checkpoint(
            step=step,
            parameters={name: tensor.detach() for name, tensor in parameters.items()},
            config=yaml.safe_dump(values),
            progress={"tokens": 512 * step},
        )
        write_checkpoint(run / "checkpoints", checkpoint)
    lines: list[dict[str, Any]] = []
    for step in (10, 20):
        lines.append({"step": step, "loss": 1.3})
        validation = {"validation_loss": 1.3, "validation_perplexity": 4.0 - step / 100, "bits_per_base": 1.9}
        lines.append({"step": step, **validation, "windows": 64})
    (run / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines) + '{"step": 21, "lo')
    return run


def test_the_newest_checkpoint_and_its_card(run_directory: Path) -> None:
    model = read_trained_model(run_directory)
    assert model.path.name == "step-00000020"
    assert model.config == CONFIG
    assert model.tables == {}
    assert model.notes == ()
    card = model.card
    assert card.sources == (DataSource("yeast", "R64", "yeast.fa", 100),)
    assert (card.steps, card.tokens, card.windows, card.window_length) == (20, 10_240, 64, 32)
    assert (card.perplexity, card.bits_per_base) == (3.8, 1.9)
    assert "run_directory: runs/yeast" in card.run_config
    assert card.imported_from is None


def test_one_checkpoint_by_name_has_the_metrics_of_its_step(run_directory: Path) -> None:
    model = read_trained_model(run_directory / "checkpoints/step-00000010")
    assert (model.card.steps, model.card.perplexity) == (10, 3.9)
    torch.manual_seed(10)
    expected = dict(HyenaLanguageModel(CONFIG).named_parameters())
    assert all(torch.equal(model.parameters[name], tensor) for name, tensor in expected.items())


def test_a_damaged_checkpoint_is_passed_over_and_said(run_directory: Path) -> None:
    newest = run_directory / "checkpoints/step-00000020"
    tensors = next(newest.glob("parameters-*"))
    content = bytearray(tensors.read_bytes())
    content[-1] ^= 1
    tensors.write_bytes(content)
    model = read_trained_model(run_directory)
    assert model.path.name == "step-00000010"
    assert "step-00000020 is passed over" in model.notes[0]
    with pytest.raises(InputError, match=r"cannot be used: .* does not match its checksum"):
        read_trained_model(newest)


def test_data_that_is_gone_is_said(run_directory: Path) -> None:
    shutil.rmtree(run_directory.parent / "shards")
    model = read_trained_model(run_directory)
    assert model.card.sources == ()
    assert "cannot name the training data" in model.notes[0]


def test_places_without_a_checkpoint_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no run or checkpoint directory"):
        read_trained_model(tmp_path / "nowhere")
    with pytest.raises(InputError, match="holds no checkpoint"):
        read_trained_model(tmp_path)


def test_an_imported_run_gives_back_what_came(golden: Path, tmp_path: Path) -> None:
    imported = import_weights(golden / "d64_n2_l258/original")
    head = {"decoder.0.output_transform.weight": torch.ones(2, 64)}
    write_imported_run(dataclasses.replace(imported, decoder=head), tmp_path / "imported")
    model = read_trained_model(tmp_path / "imported")
    assert model.config == imported.config
    assert model.card.imported_from == "weights.ckpt"
    for ours, came in ((model.parameters, imported.parameters), (model.tables, imported.tables)):
        assert ours.keys() == came.keys()
        assert all(torch.equal(ours[name], tensor) for name, tensor in came.items())
    assert load_file(tmp_path / "imported/decoder.safetensors").keys() == head.keys()
    with pytest.raises(InputError, match="exists"):
        write_imported_run(imported, tmp_path / "imported")


def test_commands_from_published_weights_to_the_published_file(
    command: Command, golden: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    case = golden / "d32_n3_l514_checkpointed"
    source = case / "original/weights_omegaconf.ckpt"
    assert command("import_weights.py", "--source", source, "--output", tmp_path / "run") == 0
    printed = capsys.readouterr()
    assert yaml.safe_load(printed.out[printed.out.index("model:\n") : printed.out.index("export it")]) == {
        "model": {"d_model": 32, "n_layer": 3, "l_max": 514, "d_inner": 128}
    }
    assert "note: layer.local_order=3" in printed.err
    assert command("export.py", "--checkpoint", tmp_path / "run", "--output", tmp_path / "hf") == 0
    ours = (tmp_path / "hf/model.safetensors").read_bytes()
    assert ours == (case / "longsafari_hf/model.safetensors").read_bytes()
    assert "imported from `weights_omegaconf.ckpt`" in (tmp_path / "hf/README.md").read_text()

    flags = ("--format", "original", "--checkpoint-mixer", "--checkpoint-mlp")
    assert command("export.py", "--checkpoint", tmp_path / "run", "--output", tmp_path / "original", *flags) == 0
    before = torch.load(case / "original/weights.ckpt", weights_only=True)["state_dict"]
    after = torch.load(tmp_path / "original/weights.ckpt", weights_only=True)["state_dict"]
    assert set(after) == {name for name in before if "torchmetrics" not in name}
    assert all(torch.equal(tensor, before[name]) for name, tensor in after.items())


def test_the_export_command_warns_where_public_code_would_disagree(
    command: Command, golden: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = golden / "d64_n2_l258/original"
    arguments = ("--source", source, "--output", tmp_path / "run", "--filter-shift", "0.0")
    assert command("import_weights.py", *arguments) == 0
    assert command("export.py", "--checkpoint", tmp_path / "run", "--output", tmp_path / "hf") == 0
    assert "warning: the published remote code would disagree with this export: filter_shift=0.0" in (
        capsys.readouterr().err
    )
    assert json.loads((tmp_path / "hf/config.json").read_text())["filter_shift"] == 0.0


def test_bad_input_is_one_line_and_exit_code_2(
    command: Command, run_directory: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "hf"
    for arguments in (
        ("export.py", "--checkpoint", tmp_path / "nowhere", "--output", output),
        ("export.py", "--checkpoint", run_directory, "--output", run_directory),
        ("export.py", "--checkpoint", run_directory, "--output", run_directory, "--overwrite"),
        ("export.py", "--checkpoint", run_directory, "--output", output, "--checkpoint-mixer"),
        ("import_weights.py", "--source", tmp_path / "nowhere", "--output", output),
        ("import_weights.py", "--source", run_directory, "--output", output),
    ):
        assert command(*arguments) == 2
        error = capsys.readouterr().err
        assert error.startswith("error: ")
        assert error.count("\n") == 1
        assert not output.exists()
    assert read_trained_model(run_directory).path.name == "step-00000020"
