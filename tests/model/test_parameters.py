"""Names and shapes of a model's tensors, as every published checkpoint lists them."""

import pytest
import torch

from hyena_ds.model.config import ModelConfig
from hyena_ds.model.dropout import Dropout
from hyena_ds.model.language_model import HyenaLanguageModel


def _layer_shapes(width: int, inner: int, l_max: int) -> dict[str, tuple[int, ...]]:
    """The tensors of one layer of order 2: name under `backbone.layers.N.` → shape."""
    return {
        "mixer.in_proj.weight": (3 * width, width),
        "mixer.in_proj.bias": (3 * width,),
        "mixer.out_proj.weight": (width, width),
        "mixer.out_proj.bias": (width,),
        "mixer.short_filter.weight": (3 * width, 1, 3),
        "mixer.short_filter.bias": (3 * width,),
        "mixer.filter_fn.bias": (width,),
        "mixer.filter_fn.implicit_filter.0.weight": (64, 5),
        "mixer.filter_fn.implicit_filter.0.bias": (64,),
        "mixer.filter_fn.implicit_filter.1.freq": (1, 64),
        "mixer.filter_fn.implicit_filter.2.weight": (64, 64),
        "mixer.filter_fn.implicit_filter.2.bias": (64,),
        "mixer.filter_fn.implicit_filter.3.freq": (1, 64),
        "mixer.filter_fn.implicit_filter.4.weight": (64, 64),
        "mixer.filter_fn.implicit_filter.4.bias": (64,),
        "mixer.filter_fn.implicit_filter.5.freq": (1, 64),
        "mixer.filter_fn.implicit_filter.6.weight": (width, 64),
        "mixer.filter_fn.modulation.deltas": (1, 1, width),
        "mixer.filter_fn.pos_emb.z": (1, l_max, 5),
        "mixer.filter_fn.pos_emb.t": (1, l_max, 1),
        "norm1.weight": (width,),
        "norm1.bias": (width,),
        "norm2.weight": (width,),
        "norm2.bias": (width,),
        "mlp.fc1.weight": (inner, width),
        "mlp.fc1.bias": (inner,),
        "mlp.fc2.weight": (width, inner),
        "mlp.fc2.bias": (width,),
    }


@pytest.mark.parametrize("share_tables", [True, False])
@pytest.mark.parametrize("d_inner", [None, 40])
def test_the_state_has_the_published_names_and_shapes(share_tables: bool, d_inner: int | None) -> None:
    config = ModelConfig(d_model=16, n_layer=2, l_max=50, d_inner=d_inner)
    expected = {
        f"backbone.layers.{number}.{name}": shape
        for number in range(2)
        for name, shape in _layer_shapes(16, d_inner or 64, 50).items()
    } | {
        "backbone.embeddings.word_embeddings.weight": (16, 16),
        "backbone.ln_f.weight": (16,),
        "backbone.ln_f.bias": (16,),
        "lm_head.weight": (16, 16),
    }
    state = HyenaLanguageModel(config, share_tables=share_tables).state_dict()
    assert {name: tuple(value.shape) for name, value in state.items()} == expected
    assert all(value.dtype == torch.float32 for value in state.values())


@pytest.mark.parametrize("share_tables", [True, False])
def test_layers_hold_one_table_or_one_each(share_tables: bool) -> None:
    state = HyenaLanguageModel(ModelConfig(d_model=8, n_layer=3, l_max=20), share_tables=share_tables).state_dict()
    tables = {state[f"backbone.layers.{number}.mixer.filter_fn.pos_emb.z"].data_ptr() for number in range(3)}
    assert len(tables) == (1 if share_tables else 3)


def test_the_head_is_the_embedding() -> None:
    model = HyenaLanguageModel(ModelConfig(d_model=8, n_layer=1, l_max=20))
    assert model.lm_head.weight is model.backbone.embeddings.word_embeddings.weight


def test_every_dropout_has_its_own_place_in_the_random_stream() -> None:
    model = HyenaLanguageModel(ModelConfig(d_model=8, n_layer=4, l_max=20))
    sites = [module.site for module in model.modules() if isinstance(module, Dropout)]
    assert len(sites) == 3 * 4 + 1
    assert len(set(sites)) == len(sites)


def test_dropouts_before_the_norms_are_embed_once_and_resid_after() -> None:
    config = ModelConfig(d_model=8, n_layer=3, l_max=20, embed_dropout=0.1, resid_dropout=0.2, hyena_dropout=0.3)
    backbone = HyenaLanguageModel(config).backbone
    assert [layer.dropout1.probability for layer in backbone.layers] == [0.1, 0.2, 0.2]
    assert [layer.dropout2.probability for layer in backbone.layers] == [0.2, 0.2, 0.2]
    assert [layer.mixer.dropout.probability for layer in backbone.layers] == [0.3, 0.3, 0.3]
    assert backbone.final_dropout.probability == 0.2


def test_no_dropout_outside_training() -> None:
    config = ModelConfig(d_model=8, n_layer=2, l_max=20, embed_dropout=0.5, resid_dropout=0.5, hyena_dropout=0.5)
    model, tokens = HyenaLanguageModel(config).eval(), torch.full((1, 20), 7)
    assert torch.equal(model(tokens), model(tokens))
