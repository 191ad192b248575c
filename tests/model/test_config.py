"""Every field of the model's config reaches the model, and none takes a value that cannot be built."""

from typing import Any

import pytest
import torch
from torch import nn

from hyena_ds.model.config import ModelConfig
from hyena_ds.model.language_model import HyenaLanguageModel

SMALL: dict[str, Any] = {"d_model": 64, "n_layer": 2, "l_max": 34}


def make_model(**settings: Any) -> HyenaLanguageModel:
    torch.manual_seed(0)
    return HyenaLanguageModel(ModelConfig(**SMALL | settings))


def test_every_norm_takes_the_epsilon() -> None:
    norms = [module for module in make_model(layer_norm_epsilon=0.25).modules() if isinstance(module, nn.LayerNorm)]
    assert len(norms) == 5
    assert {norm.eps for norm in norms} == {0.25}


def test_weights_take_the_initial_range() -> None:
    model = make_model(initializer_range=0.5, n_layer=8)
    layer = model.backbone.layers[3]
    for weight, scale in (
        (model.backbone.embeddings.word_embeddings.weight, 0.5),
        (layer.mlp.fc1.weight, 0.5),
        (layer.mixer.filter_fn.implicit_filter[6].weight, 0.5),
        (layer.mlp.fc2.weight, 0.125),
    ):
        assert float(weight.detach().std()) == pytest.approx(scale, rel=0.1)


@pytest.mark.parametrize("inner", [0, 1, 3])
def test_the_filter_network_takes_depth_width_bands_and_frequency(inner: int) -> None:
    model = make_model(num_inner_mlps=inner, filter_order=24, emb_dim=7, activation_freq=3.0, order=3)
    network = model.backbone.layers[0].mixer.filter_fn.implicit_filter
    shapes = [tuple(layer.weight.shape) for layer in network if isinstance(layer, nn.Linear)]
    assert shapes == [(24, 7), *[(24, 24)] * inner, (2 * 64, 24)]
    assert network[1].freq.eq(3).all()
    assert model(torch.full((1, 20), 7)).shape == (1, 20, 16)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("d_model", 0),
        ("n_layer", -1),
        ("filter_order", 0),
        ("short_filter_order", 0),
        ("l_max", 1),
        ("order", 1),
        ("emb_dim", 1),
        ("emb_dim", 4),
        ("embed_dropout", 1.0),
        ("resid_dropout", -0.1),
        ("hyena_dropout", 1.5),
    ],
)
def test_a_value_that_makes_no_model_is_named(field: str, value: Any) -> None:
    with pytest.raises(ValueError, match=f"^{field}={value} must be"):
        ModelConfig(**SMALL | {field: value})
