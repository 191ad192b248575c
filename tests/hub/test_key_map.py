import pytest
import torch

from hyena_ds.errors import InputError
from hyena_ds.hub.key_map import EMBEDDING, HEAD, from_huggingface, from_original, to_huggingface, to_original

FILTER = "backbone.layers.0.mixer.filter_fn.implicit_filter."
OURS = {
    EMBEDDING: torch.randn(16, 4),
    "backbone.layers.0.mixer.in_proj.weight": torch.randn(12, 4),
    FILTER + "1.freq": torch.randn(1, 64),
    "backbone.layers.0.mixer.filter_fn.pos_emb.z": torch.randn(1, 10, 5),
    "backbone.layers.0.mlp.fc1.weight": torch.randn(16, 4),
    "backbone.layers.0.norm1.weight": torch.randn(4),
}


@pytest.mark.parametrize("checkpoint_mixer", [False, True])
@pytest.mark.parametrize("checkpoint_mlp", [False, True])
def test_original_names_and_back(checkpoint_mixer: bool, checkpoint_mlp: bool) -> None:
    original = to_original(OURS, num_inner_mlps=2, checkpoint_mixer=checkpoint_mixer, checkpoint_mlp=checkpoint_mlp)
    mixer = "mixer.layer" if checkpoint_mixer else "mixer"
    mlp = "mlp.layer" if checkpoint_mlp else "mlp"
    assert set(original) == {
        "model." + EMBEDDING,
        f"model.backbone.layers.0.{mixer}.in_proj.weight",
        f"model.backbone.layers.0.{mixer}.filter_fn.implicit_filter.1.freq",
        f"model.backbone.layers.0.{mixer}.filter_fn.implicit_filter.3.freq",
        f"model.backbone.layers.0.{mixer}.filter_fn.implicit_filter.5.freq",
        f"model.backbone.layers.0.{mixer}.filter_fn.pos_emb.z",
        f"model.backbone.layers.0.{mlp}.fc1.weight",
        "model.backbone.layers.0.norm1.weight",
        "model.lm_head.weight",
    }
    assert from_original(original).model.keys() == OURS.keys()
    assert all(from_original(original).model[name] is tensor for name, tensor in OURS.items())


def test_huggingface_names_and_back() -> None:
    public = to_huggingface(OURS)
    assert set(public) == {HEAD, *("hyena." + name for name in OURS)}
    assert public[HEAD].data_ptr() != OURS[EMBEDDING].data_ptr()
    assert from_huggingface(public).model.keys() == OURS.keys()


def test_a_backbone_alone_and_a_classifier_are_read() -> None:
    assert from_huggingface(OURS).model.keys() == OURS.keys()
    classifier = {"hyena." + name: tensor for name, tensor in OURS.items()} | {"score.weight": torch.ones(2, 4)}
    assert list(from_huggingface(classifier).decoder) == ["score.weight"]


def test_heads_metrics_and_strangers_are_told_apart() -> None:
    state = {"model." + name: tensor for name, tensor in OURS.items()}
    state["decoder.0.output_transform.weight"] = torch.ones(2, 4)
    state["train_torchmetrics.num_tokens.count"] = torch.tensor(5)
    state["loss.weight"] = torch.ones(2)
    named = from_original(state)
    assert named.model.keys() == OURS.keys()
    assert list(named.decoder) == ["decoder.0.output_transform.weight"]
    assert named.passed_over == ("loss.weight",)


def test_copies_of_one_tensor_must_agree() -> None:
    state = {"model." + name: tensor for name, tensor in OURS.items()}
    with pytest.raises(InputError, match=r"lm_head.weight and .*word_embeddings.weight differ"):
        from_original({**state, "model.lm_head.weight": torch.zeros(16, 4)})
    with pytest.raises(InputError, match=r"3.freq and .*1.freq differ"):
        from_original({**state, f"model.{FILTER}3.freq": torch.zeros(1, 64)})


def test_a_copy_without_its_original_is_refused() -> None:
    with pytest.raises(InputError, match=r"holds .*5.freq and lacks .*1.freq"):
        from_original({f"model.{FILTER}5.freq": torch.zeros(1, 64)})
