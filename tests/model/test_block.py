"""What activation checkpointing runs again, and that every dropout of the model is in use."""

from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import nn

from hyena_ds.model.config import ModelConfig
from hyena_ds.model.dropout import Dropout, dropout_keys
from hyena_ds.model.execution import Execution
from hyena_ds.model.language_model import HyenaLanguageModel

TOKENS = torch.randint(7, 11, (2, 30), generator=torch.Generator().manual_seed(0))
KEYS = dropout_keys(1, 1, torch.arange(2))


def make_model(checkpointing: Any = "none", dropout: float = 0.0) -> HyenaLanguageModel:
    torch.manual_seed(0)
    config = ModelConfig(
        d_model=16, n_layer=2, l_max=34, embed_dropout=dropout, resid_dropout=dropout, hyena_dropout=dropout
    )
    return HyenaLanguageModel(config, Execution(activation_checkpointing=checkpointing))


def _calls(module: nn.Module) -> list[int]:
    """A list that grows at each forward pass of `module`."""
    calls: list[int] = []
    module.register_forward_hook(lambda *_: calls.append(1))
    return calls


@pytest.mark.parametrize(
    ("checkpointing", "mixer", "mlp"), [("none", 1, 1), ("mixer", 2, 1), ("mlp", 1, 2), ("block", 2, 2)]
)
def test_the_backward_pass_runs_again_what_was_not_kept(checkpointing: str, mixer: int, mlp: int) -> None:
    model = make_model(checkpointing).train()
    calls = [(_calls(layer.mixer.out_proj), _calls(layer.mlp)) for layer in model.backbone.layers]
    model(TOKENS).sum().backward()
    assert [(len(first), len(second)) for first, second in calls] == [(mixer, mlp)] * 2


@pytest.mark.parametrize("checkpointing", ["mixer", "mlp", "block"])
def test_padding_is_masked_where_layers_run_again_in_tiles(checkpointing: str) -> None:
    mask = torch.ones(2, 30, dtype=torch.int64)
    mask[0, :5] = mask[1, 12:17] = 0  # the latter inside, across the edge of a tile of 7 positions
    found = []
    for policy in ("none", checkpointing):
        model = make_model(policy).train()
        for block in model.backbone.layers:
            block.execution = replace(block.execution, tile_tokens=14)
        logits = model(TOKENS, mask)[mask == 1]
        logits.square().sum().backward()
        found.append([logits, *(parameter.grad for parameter in model.parameters() if parameter.grad is not None)])
    assert len(found[0]) == len(found[1]) > 20
    for expected, value in zip(*found, strict=True):
        torch.testing.assert_close(value, expected, rtol=1e-4, atol=1e-5 * float(expected.detach().abs().max()))


@pytest.mark.parametrize("number", range(7))
def test_every_dropout_is_applied(number: int) -> None:
    model = make_model().train()
    plain = model(TOKENS, dropout_keys=KEYS)
    dropouts = [module for module in model.modules() if isinstance(module, Dropout)]
    assert len(dropouts) == 7
    dropouts[number].probability = 0.5
    assert not torch.allclose(model(TOKENS, dropout_keys=KEYS), plain, rtol=0, atol=1e-6)


def test_a_sample_drops_the_same_wherever_it_stands_in_a_batch() -> None:
    model = make_model(dropout=0.3).train()
    pair = model(TOKENS, dropout_keys=KEYS)
    swapped = model(TOKENS.flip(0), dropout_keys=KEYS.flip(0)).flip(0)
    alone = torch.cat([model(TOKENS[n : n + 1], dropout_keys=KEYS[n : n + 1]) for n in range(2)])
    torch.testing.assert_close(swapped, pair, rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(alone, pair, rtol=1e-5, atol=1e-6)
    other = model(TOKENS, dropout_keys=KEYS.flip(0))
    assert not torch.allclose(other, pair, rtol=0, atol=1e-3)
