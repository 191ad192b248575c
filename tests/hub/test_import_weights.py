import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from hyena_ds.errors import InputError
from hyena_ds.hub.import_weights import import_weights
from hyena_ds.model.language_model import HyenaLanguageModel

SOURCES = (
    "d64_n2_l258/original",
    "d64_n2_l258/longsafari_hf",
    "d32_n3_l514_checkpointed/original/weights.ckpt",
    "d32_n3_l514_checkpointed/original/weights_omegaconf.ckpt",
    "d32_n3_l514_checkpointed/longsafari_hf/model.safetensors",
)


@pytest.fixture
def original(golden: Path, tmp_path: Path) -> Path:
    """An original directory that a test may spoil."""
    copied = shutil.copytree(golden / "d64_n2_l258/original", tmp_path / "original")
    for path in copied.iterdir():
        path.chmod(0o644)
    return copied


def edit_config(directory: Path, edit: Callable[[dict[str, Any]], Any]) -> None:
    path = directory / "config.json"
    values = json.loads(path.read_text())
    edit(values)
    path.write_text(json.dumps(values))


def edit_state(directory: Path, edit: Callable[[dict[str, Tensor]], Any]) -> None:
    path = directory / "weights.ckpt"
    saved = torch.load(path, weights_only=True)
    edit(saved["state_dict"])
    torch.save(saved, path)


@pytest.mark.parametrize("source", SOURCES)
def test_every_public_form_gives_the_golden_model(source: str, golden: Path) -> None:
    imported = import_weights(golden / source)
    expected = load_file(golden / source.split("/")[0] / "longsafari_hf/model.safetensors")
    tensors = imported.parameters | imported.tables
    assert {"hyena." + name for name in tensors} == set(expected) - {"lm_head.weight"}
    assert all(torch.equal(tensor, expected["hyena." + name]) for name, tensor in tensors.items())
    assert (imported.config.d_model, imported.config.n_layer, imported.config.l_max) in ((64, 2, 258), (32, 3, 514))
    assert imported.config.filter_shift == 0.05


@pytest.mark.parametrize("case", ["d64_n2_l258", "d32_n3_l514_checkpointed"])
@pytest.mark.parametrize("shift", [0.05, 0.0])
def test_the_training_model_takes_the_parameters(case: str, shift: float, golden: Path) -> None:
    imported = import_weights(golden / case / "original/weights.ckpt", filter_shift=shift)
    model = HyenaLanguageModel(imported.config, share_tables=False).eval()
    assert set(imported.parameters) == {name for name, _ in model.named_parameters()}
    assert set(imported.tables) == {name for name, _ in model.named_buffers()}
    model.load_state_dict(imported.parameters | imported.tables, strict=False)
    expected = load_file(golden / case / "expected.safetensors")
    with torch.inference_mode():
        logits = model(expected["input_ids"][:, :-1])
    assert (logits - expected[f"shift_{shift}/logits"]).norm() <= 1e-5 * logits.norm()


def test_what_is_stale_or_unread_is_said(golden: Path) -> None:
    imported = import_weights(golden / "d32_n3_l514_checkpointed/original/weights_omegaconf.ckpt")
    notes = "\n".join(imported.notes)
    assert "local_order=3 is a stale name" in notes
    assert "filter_shift is 0.05" in notes
    assert "omegaconf.dictconfig.DictConfig" in notes


def test_short_filter_order_is_honoured_and_local_order_is_not(original: Path) -> None:
    edit_config(original, lambda values: values["layer"].update(local_order=7))
    assert import_weights(original).config.short_filter_order == 3
    edit_config(original, lambda values: values["layer"].update(short_filter_order=5))
    with pytest.raises(InputError, match=r"short_filter.weight has shape \[192, 1, 3\].*says \[192, 1, 5\]"):
        import_weights(original)


def test_a_shift_in_the_config_is_taken(original: Path) -> None:
    edit_config(original, lambda values: values["layer"].update(shift=0.0))
    assert import_weights(original).config.filter_shift == 0.0


def test_a_fine_tuned_checkpoint_keeps_its_head_aside(original: Path) -> None:
    head = {"decoder.0.output_transform.weight": torch.ones(2, 64), "decoder.0.output_transform.bias": torch.ones(2)}

    def fine_tune(state: dict[str, Tensor]) -> None:
        del state["model.lm_head.weight"]
        state.update(head)

    edit_state(original, fine_tune)
    imported = import_weights(original)
    assert imported.decoder.keys() == head.keys()
    assert not any("decoder" in name or "lm_head" in name for name in imported.parameters)
    assert "decoder.0.output_transform.weight" in "\n".join(imported.notes)


def test_half_precision_weights_become_fp32(original: Path) -> None:
    edit_state(original, lambda state: state.update({name: tensor.half() for name, tensor in state.items()}))
    imported = import_weights(original)
    assert {tensor.dtype for tensor in [*imported.parameters.values(), *imported.tables.values()]} == {torch.float32}


def test_tables_are_carried_layer_by_layer_as_they_came(original: Path) -> None:
    name = "backbone.layers.1.mixer.filter_fn.pos_emb.z"
    drifted = torch.randn(1, 258, 5)
    edit_state(original, lambda state: state.update({"model." + name: drifted}))
    imported = import_weights(original)
    assert torch.equal(imported.tables[name], drifted)
    assert not torch.equal(imported.tables[name.replace("1", "0", 1)], drifted)


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (lambda state: state.pop("model.backbone.ln_f.bias"), r"lacks backbone.ln_f.bias"),
        (lambda state: state.update({"model.backbone.extra": torch.ones(1)}), r"holds backbone.extra"),
        (lambda state: state.update({"model.backbone.ln_f.bias": torch.ones(3)}), r"ln_f.bias has shape \[3\]"),
        (lambda state: state.update({"model.backbone.ln_f.bias": torch.ones(64).int()}), r"not a floating-point"),
        (lambda state: state.clear(), r"lacks backbone.embeddings.word_embeddings.weight"),
    ],
)
def test_weights_of_another_model_are_refused_by_name(edit: Any, message: str, original: Path) -> None:
    edit_state(original, edit)
    with pytest.raises(InputError, match=message):
        import_weights(original)


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (lambda values: values.pop("d_model"), "d_model is missing"),
        (lambda values: values["layer"].pop("l_max"), "l_max is missing"),
        (lambda values: values.update(d_model="wide"), "d_model: Input should be a valid integer"),
        (lambda values: values.update(vocab_size=4096), "vocab_size=4096 is a variant"),
        (lambda values: values.update(layer=3), "layer is no section"),
        (lambda values: values["layer"].update(emb_dim=4), "emb_dim=4 must be odd"),
        (lambda values: values["layer"].update(normalized=True), "layer: normalized=True is a variant"),
        (lambda values: values["layer"].update(l_max=1026), r"pos_emb.z has shape \[1, 258, 5\].*says \[1, 1026, 5\]"),
    ],
)
def test_configs_that_do_not_fit_are_refused(edit: Any, message: str, original: Path) -> None:
    edit_config(original, edit)
    with pytest.raises(InputError, match=message):
        import_weights(original)


def test_a_file_that_names_the_same_bytes_over_and_over_is_refused(original: Path) -> None:
    def multiply(state: dict[str, Tensor]) -> None:
        state.update({f"model.copy{number}": state["model.backbone.layers.0.mlp.fc1.weight"] for number in range(20)})

    edit_state(original, multiply)
    with pytest.raises(InputError, match="more than twice its own size"):
        import_weights(original)


def test_missing_files_are_refused_with_a_remedy(original: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no weights at"):
        import_weights(tmp_path / "nowhere")
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match=r"neither model.safetensors nor weights.ckpt"):
        import_weights(tmp_path / "empty")
    (original / "config.json").unlink()
    with pytest.raises(InputError, match=r"no config.json"):
        import_weights(original)


def test_a_config_that_is_no_json_is_refused(original: Path) -> None:
    (original / "config.json").write_text("{")
    with pytest.raises(InputError, match="is not JSON"):
        import_weights(original)


def test_damaged_safetensors_are_refused(golden: Path, tmp_path: Path) -> None:
    whole = (golden / "d64_n2_l258/longsafari_hf/model.safetensors").read_bytes()
    (tmp_path / "model.safetensors").write_bytes(whole[:-100])
    shutil.copy(golden / "d64_n2_l258/longsafari_hf/config.json", tmp_path)
    with pytest.raises(InputError, match="no whole safetensors file"):
        import_weights(tmp_path)


def test_a_head_trained_apart_is_refused(golden: Path, tmp_path: Path) -> None:
    state = load_file(golden / "d64_n2_l258/longsafari_hf/model.safetensors")
    save_file(state | {"lm_head.weight": torch.zeros(16, 64)}, tmp_path / "model.safetensors")
    shutil.copy(golden / "d64_n2_l258/longsafari_hf/config.json", tmp_path)
    with pytest.raises(InputError, match=r"lm_head.weight and"):
        import_weights(tmp_path)
