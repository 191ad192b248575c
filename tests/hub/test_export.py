import json
import resource
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import safe_open

from hyena_ds.errors import EXIT_STORAGE, InputError, guarded
from hyena_ds.hub.export import export_huggingface, export_original
from hyena_ds.hub.import_weights import ImportedModel, import_weights
from hyena_ds.hub.model_card import ModelCard
from hyena_ds.hub.tables import computed_tables
from hyena_ds.model.config import ModelConfig
from hyena_ds.model.language_model import HyenaLanguageModel

CASES = ("d64_n2_l258", "d32_n3_l514_checkpointed")


@pytest.fixture(scope="module")
def imported(golden: Path) -> ImportedModel:
    return import_weights(golden / "d64_n2_l258/original")


@pytest.mark.parametrize("case", CASES)
def test_the_golden_file_byte_for_byte(case: str, golden: Path, tmp_path: Path) -> None:
    model = import_weights(golden / case / "original/weights.ckpt")
    export_huggingface(model.parameters, model.tables, model.config, tmp_path / "hf")
    ours = (tmp_path / "hf/model.safetensors").read_bytes()
    assert ours == (golden / case / "longsafari_hf/model.safetensors").read_bytes()


@pytest.mark.parametrize("case", CASES)
def test_an_export_imports_to_the_same_file(case: str, golden: Path, tmp_path: Path) -> None:
    model = import_weights(golden / case / "longsafari_hf", filter_shift=0.0)
    export_huggingface(model.parameters, model.tables, model.config, tmp_path / "first")
    again = import_weights(tmp_path / "first")
    assert again.config == model.config
    export_huggingface(again.parameters, again.tables, again.config, tmp_path / "second")
    for name in ("model.safetensors", "modeling_hyena.py", "tokenizer_config.json"):
        assert (tmp_path / "first" / name).read_bytes() == (tmp_path / "second" / name).read_bytes()


@pytest.mark.parametrize("case", CASES)
def test_config_has_the_public_keys_and_values(case: str, golden: Path, tmp_path: Path) -> None:
    model = import_weights(golden / case / "longsafari_hf")
    export_huggingface(model.parameters, model.tables, model.config, tmp_path / "hf")
    text = (tmp_path / "hf/config.json").read_text()
    ours, public = json.loads(text), json.loads((golden / case / "longsafari_hf/config.json").read_text())
    assert ours == public | {"_name_or_path": "hf", "filter_shift": 0.05}
    assert text == json.dumps(ours, indent=2, sort_keys=True) + "\n"
    with safe_open(tmp_path / "hf/model.safetensors", "pt") as tensors:
        assert tensors.metadata() == {"format": "pt"}


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("checkpoint_mixer", [False, True])
@pytest.mark.parametrize("checkpoint_mlp", [False, True])
def test_original_to_ours_to_original(
    case: str, checkpoint_mixer: bool, checkpoint_mlp: bool, golden: Path, tmp_path: Path
) -> None:
    source = golden / case / "original/weights.ckpt"
    model = import_weights(source)
    for output, mixer, mlp in (("flags", checkpoint_mixer, checkpoint_mlp), ("back", "n3" in case, "n3" in case)):
        export_original(
            model.parameters, model.tables, model.config, tmp_path / output, checkpoint_mixer=mixer, checkpoint_mlp=mlp
        )
        model = import_weights(tmp_path / output)
    before = torch.load(source, weights_only=True)["state_dict"]
    before = {name: tensor for name, tensor in before.items() if "torchmetrics" not in name}
    after = torch.load(tmp_path / "back/weights.ckpt", weights_only=True)["state_dict"]
    assert set(after) == set(before)
    assert all(after[name].numpy().tobytes() == tensor.numpy().tobytes() for name, tensor in before.items())
    flagged = torch.load(tmp_path / "flags/weights.ckpt", weights_only=True)["state_dict"]
    assert any(".mixer.layer." in name for name in flagged) == checkpoint_mixer
    assert any(".mlp.layer." in name for name in flagged) == checkpoint_mlp
    assert json.loads((tmp_path / "flags/config.json").read_text()).get("checkpoint_mixer", False) == checkpoint_mixer


def test_every_file_that_transformers_needs_is_there(imported: ImportedModel, tmp_path: Path) -> None:
    export_huggingface(imported.parameters, imported.tables, imported.config, tmp_path / "deep/hf", ModelCard())
    assert {path.name for path in (tmp_path / "deep/hf").iterdir()} == {
        "README.md",
        "config.json",
        "configuration_hyena.py",
        "generation_config.json",
        "model.safetensors",
        "modeling_hyena.py",
        "special_tokens_map.json",
        "tokenization_hyena.py",
        "tokenizer_config.json",
    }
    assert list((tmp_path / "deep").iterdir()) == [tmp_path / "deep/hf"]


def test_a_trained_model_without_tables_gets_the_computed_ones(tmp_path: Path) -> None:
    config = ModelConfig(d_model=16, n_layer=2, l_max=34, d_inner=64, filter_shift=0.0)
    model = HyenaLanguageModel(config)
    export_huggingface(dict(model.named_parameters()), {}, config, tmp_path / "hf")
    again = import_weights(tmp_path / "hf")
    assert again.config == config
    assert all(torch.equal(again.tables[name], table) for name, table in computed_tables(config).items())
    assert all(torch.equal(again.parameters[name], tensor) for name, tensor in model.named_parameters())


def test_tables_follow_their_formulas() -> None:
    tables = computed_tables(ModelConfig(d_model=128, n_layer=1, l_max=1_026))
    prefix = "backbone.layers.0.mixer.filter_fn."
    z, t, deltas = (tables[prefix + name] for name in ("pos_emb.z", "pos_emb.t", "modulation.deltas"))
    assert z.shape == (1, 1_026, 5)
    torch.testing.assert_close(z[0, 0], torch.tensor([0.0, 1, 1, 0, 0]), atol=1e-6, rtol=0)
    assert t[0, -1, 0] == 1.0
    torch.testing.assert_close(deltas[0, 0, [0, -1]], torch.tensor([-3.0701, -15.3506]), atol=1e-4, rtol=0)


def test_computed_tables_are_those_of_published_files(golden: Path) -> None:
    for case in CASES:
        model = import_weights(golden / case / "longsafari_hf")
        for name, table in computed_tables(model.config).items():
            torch.testing.assert_close(table, model.tables[name], atol=1e-6, rtol=1e-6)


def test_an_existing_output_is_left_alone(imported: ImportedModel, tmp_path: Path) -> None:
    export_huggingface(imported.parameters, imported.tables, imported.config, tmp_path / "hf")
    (tmp_path / "hf/README.md").write_text("kept")
    with pytest.raises(InputError, match="exists; choose another --output"):
        export_huggingface(imported.parameters, imported.tables, imported.config, tmp_path / "hf")
    assert (tmp_path / "hf/README.md").read_text() == "kept"
    export_huggingface(imported.parameters, imported.tables, imported.config, tmp_path / "hf", overwrite=True)
    assert (tmp_path / "hf/README.md").read_text() != "kept"


def test_an_output_that_cannot_be_made_is_named(imported: ImportedModel, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="file cannot be written"):
        export_huggingface(imported.parameters, imported.tables, imported.config, tmp_path / "file" / "hf")


def test_overwrite_leaves_an_export_with_something_else_in_it(imported: ImportedModel, tmp_path: Path) -> None:
    model = (imported.parameters, imported.tables, imported.config)
    export_huggingface(*model, tmp_path / "hf")
    (tmp_path / "hf" / "thesis.txt").write_text("years of work")
    with pytest.raises(InputError, match=r"thesis\.txt is no part of an export"):
        export_huggingface(*model, tmp_path / "hf", overwrite=True)
    assert (tmp_path / "hf" / "thesis.txt").exists()


def test_overwrite_never_replaces_what_is_no_export(imported: ImportedModel, tmp_path: Path) -> None:
    (tmp_path / "home").mkdir()
    (tmp_path / "home/thesis.tex").write_text("kept")
    for output in (tmp_path / "home", tmp_path / "home/thesis.tex"):
        with pytest.raises(InputError, match="is no exported model"):
            export_huggingface(imported.parameters, imported.tables, imported.config, output, overwrite=True)
    assert (tmp_path / "home/thesis.tex").read_text() == "kept"


@pytest.mark.parametrize("write", [export_huggingface, export_original])
def test_a_full_disk_leaves_nothing_half_written(write: Any, imported: ImportedModel, tmp_path: Path) -> None:
    model = (imported.parameters, imported.tables, imported.config)
    export_huggingface(*model, tmp_path / "old")
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, limits[1]))
    try:
        for output in ("new", "old"):
            assert guarded(lambda output=output: write(*model, tmp_path / output, overwrite=True)) == EXIT_STORAGE
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert [path.name for path in tmp_path.iterdir()] == ["old"]
    assert import_weights(tmp_path / "old").config == imported.config


def test_a_higher_order_is_refused(tmp_path: Path) -> None:
    config = ModelConfig(d_model=8, n_layer=1, l_max=10, order=3)
    model = HyenaLanguageModel(config)
    with pytest.raises(InputError, match="order=3 is not publicly exportable above 2"):
        export_huggingface(dict(model.named_parameters()), {}, config, tmp_path / "hf")
    assert list(tmp_path.iterdir()) == []


def test_parameters_of_another_model_are_refused(imported: ImportedModel, tmp_path: Path) -> None:
    config = ModelConfig(d_model=64, n_layer=1, l_max=258)
    with pytest.raises(InputError, match=r"backbone.layers.1.* is no tensor of a HyenaDNA model of 1 layers"):
        export_huggingface(imported.parameters, imported.tables, config, tmp_path / "hf")
    few = {name: tensor for name, tensor in imported.parameters.items() if "fc1" not in name}
    with pytest.raises(InputError, match=r"mlp.fc1.weight is absent"):
        export_huggingface(few, imported.tables, imported.config, tmp_path / "hf")
    assert list(tmp_path.iterdir()) == []


def test_a_fine_tuned_checkpoint_exports(golden: Path, tmp_path: Path) -> None:
    shutil.copy(golden / "d64_n2_l258/original/config.json", tmp_path)
    saved = torch.load(golden / "d64_n2_l258/original/weights.ckpt", weights_only=True)
    del saved["state_dict"]["model.lm_head.weight"]
    saved["state_dict"]["decoder.0.output_transform.weight"] = torch.ones(2, 64)
    torch.save(saved, tmp_path / "weights.ckpt")
    model = import_weights(tmp_path)
    export_huggingface(model.parameters, model.tables, model.config, tmp_path / "hf")
    assert (tmp_path / "hf/model.safetensors").read_bytes() == (
        golden / "d64_n2_l258/longsafari_hf/model.safetensors"
    ).read_bytes()
