"""A head travels with its model: out of an export as it went in, in the units of its targets."""

import json
from pathlib import Path

import pytest
import torch
from transformers import AutoModelForSequenceClassification

from hyena_ds.errors import InputError
from hyena_ds.hub.export import export_huggingface
from hyena_ds.hub.import_weights import import_weights
from hyena_ds.hub.pretrained import read_pretrained
from hyena_ds.hub.target_scale import TargetScale, folded
from hyena_ds.hub.task_head import TaskHead
from hyena_ds.model.decoder import DecoderConfig, DecoderHead
from tests.hub.conftest import GOLDEN, PLAIN


def a_head(classes: int, decoder: DecoderConfig) -> TaskHead:
    torch.manual_seed(3)
    tensors = dict(DecoderHead(decoder, 64, classes).named_parameters(prefix="score"))
    detached = {name: tensor.detach() for name, tensor in tensors.items()}
    return TaskHead(detached, decoder, tuple(f"class {n}" for n in range(classes)), "single_label_classification")


@pytest.fixture
def exported_with_head(tmp_path: Path) -> tuple[Path, TaskHead]:
    model = import_weights(GOLDEN / PLAIN / "original/weights.ckpt")
    head = a_head(12, DecoderConfig(mode="sum", special_tokens=("[SEP]",), normalize=True, widths=(8, 4), dropout=0.2))
    export_huggingface(model.parameters, model.tables, model.config, tmp_path / "hf", head=head)
    return tmp_path / "hf", head


def test_an_export_gives_its_head_back(exported_with_head: tuple[Path, TaskHead]) -> None:
    path, head = exported_with_head
    found = read_pretrained(str(path)).head
    assert found is not None
    assert (found.decoder, found.classes, found.problem_type) == (head.decoder, head.classes, head.problem_type)
    assert found.tensors.keys() == head.tensors.keys()
    assert all(torch.equal(found.tensors[name], tensor) for name, tensor in head.tensors.items())


def test_transformers_opens_it_with_no_key_missing(exported_with_head: tuple[Path, TaskHead]) -> None:
    path, head = exported_with_head
    model, report = AutoModelForSequenceClassification.from_pretrained(
        path, trust_remote_code=True, output_loading_info=True
    )
    assert not report["missing_keys"]
    assert model.config.id2label[10] == "class 10"
    assert torch.equal(model.score.hidden[1].weight, head.tensors["score.hidden.1.weight"])


def test_a_head_of_unknown_form_is_named(exported_with_head: tuple[Path, TaskHead]) -> None:
    path, _ = exported_with_head
    values = json.loads((path / "config.json").read_text())
    values["sequence_decoder"]["mode"] = "attention"
    (path / "config.json").write_text(json.dumps(values))
    with pytest.raises(InputError, match=r"mode: .*'pool'"):
        read_pretrained(str(path))


def test_a_name_that_is_no_path_asks_the_hub(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(
        InputError, match="no directory nobody/nothing here, and as a Hugging Face hub id it cannot be fetched"
    ):
        read_pretrained("nobody/nothing")
    with pytest.raises(InputError, match="no model at not/a/hub/name"):
        read_pretrained("not/a/hub/name")


def test_a_scale_folds_into_a_head_and_out_of_it() -> None:
    targets = torch.tensor([[100.0, 5.0], [300.0, 5.0], [200.0, 5.0]])
    scale, head = TargetScale.of(targets), a_head(2, DecoderConfig()).tensors
    assert torch.allclose(scale.standard(targets).mean(0), torch.zeros(2))
    assert torch.equal(scale.deviation[1], torch.tensor(1.0))  # a constant target
    whole = folded(head | scale.tensors())
    vectors = torch.randn(4, 64)
    raw = vectors @ head["score.weight"].T + head["score.bias"]
    expected = raw * scale.deviation + scale.mean
    assert torch.allclose(vectors @ whole["score.weight"].T + whole["score.bias"], expected, rtol=1e-5)
    back = scale.unfolded(whole)
    assert all(torch.allclose(back[name], tensor, atol=1e-5) for name, tensor in head.items())
    assert folded(head) == head
