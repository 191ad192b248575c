import math
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from hyena_ds.model.config import ModelConfig
from hyena_ds.model.dropout import dropout_keys
from hyena_ds.model.execution import Execution
from hyena_ds.model.filter import PositionalFeatures, SequenceTooLongError
from hyena_ds.model.language_model import HyenaLanguageModel
from hyena_ds.model.parameters import carried_tables, count_parameters, is_filter_parameter
from hyena_ds.ops.dropout.reference import keep_mask

# (width, layers, l_max) → trainable parameters of the published models.
PUBLISHED = {
    (128, 2, 1_026): 436_096,
    (256, 2, 1_026): 1_641_088,
    (128, 2, 16_386): 436_096,
    (256, 4, 32_770): 3_277_568,
    (256, 8, 160_002): 6_550_528,
    (256, 8, 450_002): 6_550_528,
    (256, 8, 1_000_002): 6_550_528,
}
PADDING = 4


def make_model(**settings: Any) -> HyenaLanguageModel:
    """A model whose filters are large enough to matter."""
    share_tables = settings.pop("share_tables", True)
    checkpointing = settings.pop("activation_checkpointing", "none")
    kept = settings.pop("kept_filter_bytes", 0)
    torch.manual_seed(0)
    config = ModelConfig(**{"d_model": 16, "n_layer": 2, "l_max": 66, "embed_dropout": 0.0} | settings)
    execution = Execution(activation_checkpointing=checkpointing, tile_tokens=20, kept_filter_bytes=kept)
    model = HyenaLanguageModel(config, execution, share_tables=share_tables)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if is_filter_parameter(name) and name.endswith("weight"):
                parameter.normal_(std=0.15)
            elif name.endswith(("proj.weight", "fc1.weight", "fc2.weight", "word_embeddings.weight")):
                parameter.normal_(std=0.3)
    return model


def make_tokens(batch: int = 2, length: int = 64) -> Tensor:
    return torch.randint(7, 11, (batch, length), generator=torch.Generator().manual_seed(length))


@pytest.mark.parametrize("shape", PUBLISHED)
def test_published_sizes_have_their_published_counts(shape: tuple[int, int, int]) -> None:
    width, layers, l_max = shape
    with torch.device("meta"):
        model = HyenaLanguageModel(ModelConfig(d_model=width, n_layer=layers, l_max=l_max))
    assert count_parameters(model) == PUBLISHED[shape]


def test_the_filter_group_has_16_of_the_49_tensors_of_tiny_1k() -> None:
    model = HyenaLanguageModel(ModelConfig(d_model=128, n_layer=2, l_max=1026))
    names = [name for name, _ in model.named_parameters()]
    assert len(names) == 49
    assert sum(is_filter_parameter(name) for name in names) == 16


def test_initialisation_has_the_published_scales() -> None:
    torch.manual_seed(0)
    model = HyenaLanguageModel(ModelConfig(d_model=256, n_layer=4, l_max=100))
    block = model.backbone.layers[1]
    depth_scaled = 0.02 / math.sqrt(8)
    for weight, scale in (
        (block.mixer.in_proj.weight, 0.02),
        (block.mixer.out_proj.weight, depth_scaled),
        (block.mlp.fc1.weight, 0.02),
        (block.mlp.fc2.weight, depth_scaled),
        (block.mixer.filter_fn.implicit_filter[2].weight, 0.02),
        (block.mixer.filter_fn.bias, 1.0),
    ):
        assert float(weight.detach().std()) == pytest.approx(scale, rel=0.15)
    assert float(block.mixer.short_filter.weight.detach().abs().max()) == pytest.approx(1 / math.sqrt(3), rel=0.02)
    assert block.mixer.filter_fn.implicit_filter[1].freq.eq(10).all()
    assert block.mixer.filter_fn.implicit_filter[1] is block.mixer.filter_fn.implicit_filter[5]
    assert block.mixer.in_proj.bias.eq(0).all()


def test_tables_are_the_published_closed_forms() -> None:
    model = HyenaLanguageModel(ModelConfig(d_model=8, n_layer=1, l_max=1_026))
    z, t = model.backbone.layers[0].mixer.filter_fn.pos_emb.z, model.backbone.layers[0].mixer.filter_fn.pos_emb.t
    torch.testing.assert_close(z[0, 0], torch.tensor([0.0, 1.0, 1.0, 0.0, 0.0]))
    angle = 2 * math.pi * 300 / 1_026
    expected = [300 / 1_025, math.cos(1e-4 * angle), math.cos(angle), -math.sin(1e-4 * angle), -math.sin(angle)]
    torch.testing.assert_close(z[0, 300], torch.tensor(expected), rtol=0, atol=1e-6)
    assert float(t[0, -1, 0]) == 1.0
    deltas = model.backbone.layers[0].mixer.filter_fn.modulation.deltas.flatten()
    assert float(deltas[0]) == pytest.approx(-3.0701, abs=1e-4)
    assert float(deltas[-1]) == pytest.approx(-15.3506, abs=1e-4)


def test_no_logit_depends_on_a_later_token() -> None:
    model, tokens = make_model().eval(), make_tokens()
    changed = tokens.clone()
    changed[:, 40:] = 17 - tokens[:, 40:]
    torch.testing.assert_close(model(changed)[:, :40], model(tokens)[:, :40], rtol=0, atol=1e-5)
    torch.testing.assert_close(model(tokens[:, :40]), model(tokens)[:, :40], rtol=0, atol=1e-5)


def test_an_input_beyond_l_max_is_named() -> None:
    with pytest.raises(SequenceTooLongError, match=r"67 tokens.*l_max is 66"):
        make_model()(make_tokens(1, 67))


def test_shared_and_own_tables_compute_the_same() -> None:
    shared, own = make_model(), make_model(share_tables=False)
    own.load_state_dict(shared.state_dict())
    tokens = make_tokens()
    assert torch.equal(shared.eval()(tokens), own.eval()(tokens))
    assert carried_tables(shared) == {}
    assert len(carried_tables(own)) == 6


def _slow_order_3(mixer: Any, hidden: Tensor) -> Tensor:
    """The operator of order 3 as the paper writes it, one tap at a time."""
    length, width = hidden.shape[1], hidden.shape[2]
    projected = mixer.in_proj(hidden)
    taps = mixer.short_filter.weight[:, 0]
    padded = functional.pad(projected, (0, 0, 2, 0))
    mixed = sum(padded[:, tap : tap + length] * taps[:, tap] for tap in range(3)) + mixer.short_filter.bias
    x0, x1, x2, value = mixed.split(width, dim=-1)
    network = mixer.filter_fn
    window = torch.exp(-network.pos_emb.t * network.modulation.deltas.abs()) + network.modulation.shift
    kernels = (network.implicit_filter(network.pos_emb.z) * window)[0]  # [T, 2 D]
    for number, gate in enumerate((x2, x1)):
        value = value * gate
        kernel, bias = kernels[:, number::2], network.bias[number::2]
        out = torch.stack([sum(kernel[j] * value[:, n - j] for j in range(n + 1)) for n in range(length)], dim=1)
        value = out + bias * value
    result: Tensor = mixer.out_proj(value * x0)
    return result


def test_order_3_is_the_recurrence_written_out() -> None:
    mixer = make_model(order=3, d_model=4, l_max=26).backbone.layers[0].mixer
    hidden = torch.randn(2, 20, 4)
    torch.testing.assert_close(mixer(hidden, None, None), _slow_order_3(mixer, hidden), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("bidirectional", [False, True])
def test_padding_on_either_side_changes_nothing_where_it_is_masked(bidirectional: bool) -> None:
    model, tokens = make_model(bidirectional=bidirectional).eval(), make_tokens(2, 40)
    plain = model(tokens)
    padding, mask = torch.full((2, 10), PADDING), torch.ones(2, 40)
    left = model(torch.cat([padding, tokens], 1), torch.cat([mask[:, :10] * 0, mask], 1))[:, 10:]
    right = model(torch.cat([tokens, padding], 1), torch.cat([mask, mask[:, :10] * 0], 1))[:, :40]
    torch.testing.assert_close(left, plain, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(right, plain, rtol=1e-5, atol=1e-5)
    unmasked = model(torch.cat([padding, tokens], 1))[:, 10:]
    assert (unmasked - plain).abs().max() > 0.1


def _loss_and_gradients(model: HyenaLanguageModel) -> tuple[float, dict[str, Tensor]]:
    tokens = make_tokens()
    logits = model.train()(tokens, dropout_keys=dropout_keys(3, 1, torch.arange(2)))
    loss = functional.cross_entropy(logits[:, :-1].flatten(0, 1), tokens[:, 1:].flatten())
    loss.backward()
    return float(loss.detach()), {
        name: value.grad for name, value in model.named_parameters() if value.grad is not None
    }


@pytest.mark.parametrize(("checkpointing", "kept"), [("mixer", 0), ("mlp", 0), ("block", 0), ("block", 2**28)])
def test_recomputation_changes_no_gradient_with_dropout_on(checkpointing: str, kept: int) -> None:
    settings = {"embed_dropout": 0.2, "resid_dropout": 0.2, "hyena_dropout": 0.2}
    loss, gradients = _loss_and_gradients(make_model(**settings))
    policy = {"activation_checkpointing": checkpointing, "kept_filter_bytes": kept}
    replayed_loss, replayed = _loss_and_gradients(make_model(**settings, **policy))
    assert replayed_loss == pytest.approx(loss, rel=1e-6)
    assert gradients.keys() == replayed.keys()
    for name, gradient in gradients.items():
        assert (gradient - replayed[name]).norm() <= 1e-5 * gradient.norm(), name


@pytest.mark.parametrize("checkpointing", ["mixer", "mlp", "block"])
def test_what_is_computed_again_needs_dropout_that_can_be_repeated(checkpointing: str) -> None:
    model = make_model(hyena_dropout=0.3, activation_checkpointing=checkpointing).train()
    with pytest.raises(ValueError, match="dropout_keys"):
        model(make_tokens())
    assert torch.isfinite(model.eval()(make_tokens())).all()


def test_each_dropout_matters() -> None:
    losses = {
        _loss_and_gradients(make_model(**settings))[0]
        for settings in ({}, {"embed_dropout": 0.3}, {"resid_dropout": 0.3}, {"hyena_dropout": 0.3})
    }
    assert len(losses) == 4


def test_dropout_is_a_function_of_seed_step_sample_and_place() -> None:
    samples = torch.tensor([5, 9, 2])
    mask = keep_mask(dropout_keys(1, 7, samples), 3, 50, 20, 0.3)
    alone = keep_mask(dropout_keys(1, 7, samples[1:2]), 3, 50, 20, 0.3)
    assert torch.equal(mask[1:2], alone)
    others = [
        keep_mask(dropout_keys(2, 7, samples), 3, 50, 20, 0.3),
        keep_mask(dropout_keys(1, 8, samples), 3, 50, 20, 0.3),
        keep_mask(dropout_keys(1, 7, samples), 4, 50, 20, 0.3),
        mask.roll(1, 0),
        mask.roll(1, 1),
        mask.roll(1, 2),
    ]
    for other in others:
        agreement = float((mask == other).float().mean())
        assert agreement == pytest.approx(0.3**2 + 0.7**2, abs=0.04)


def test_dropout_keeps_its_share_and_scales_what_stays() -> None:
    keys = dropout_keys(0, 0, torch.arange(8))
    assert float(keep_mask(keys, 0, 200, 64, 0.1).float().mean()) == pytest.approx(0.9, abs=0.005)
    model = make_model(embed_dropout=0.5).train()
    value = torch.ones(8, 30, 16, requires_grad=True)
    dropped = model.backbone.layers[0].dropout1(value, keys)
    assert set(dropped.detach().unique().tolist()) == {0.0, 2.0}
    dropped.sum().backward()
    assert torch.equal(value.grad, dropped.detach())


def test_the_filter_is_fp32_under_autocast() -> None:
    model = make_model(d_model=32)
    with torch.no_grad():
        for layer in model.backbone.layers[0].mixer.filter_fn.implicit_filter:
            if isinstance(layer, torch.nn.Linear):
                layer.weight.normal_(std=0.3)
    expected, _ = model.backbone.layers[0].mixer.filter_fn(60)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found, _ = model.backbone.layers[0].mixer.filter_fn(60)
        assert model.backbone.layers[0].mlp.fc1(torch.ones(1, 32)).dtype == torch.bfloat16
    assert torch.equal(found, expected)


def test_positional_features_are_exact_at_a_million() -> None:
    features = PositionalFeatures(1_000_002, 5)
    n = 777_777
    angle = 2 * math.pi * n / 1_000_002
    assert float(features.z[0, n, 2]) == pytest.approx(math.cos(angle), abs=1e-7)
    assert float(features.z[0, n, 4]) == pytest.approx(-math.sin(angle), abs=1e-7)
