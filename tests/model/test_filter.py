"""The implicit filter beyond a million positions, and in tiles."""

import math

import pytest
import torch
from torch import Tensor

from hyena_ds.model.config import ModelConfig
from hyena_ds.model.filter import HyenaFilter, PositionalFeatures

LONGEST = 16_000_002


def exact_features(l_max: int, position: Tensor) -> Tensor:
    """z [1, n, 5] in float64 at some positions."""
    position = position.double()
    frequency = torch.tensor([1e-4, 1.0], dtype=torch.float64)
    angle = position[:, None] * (2 * math.pi / l_max) * frequency
    return torch.cat([position[:, None] / (l_max - 1), angle.cos(), -angle.sin()], dim=1)[None]


def make_filter(l_max: int, **settings: int) -> HyenaFilter:
    torch.manual_seed(0)
    config = ModelConfig(**{"d_model": 8, "n_layer": 1, "l_max": l_max, "filter_order": 16} | settings)
    made = HyenaFilter(config, PositionalFeatures(l_max, config.emb_dim))
    for parameter in made.implicit_filter.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    return made


def test_features_and_filter_are_exact_at_sixteen_million_positions() -> None:
    made = make_filter(LONGEST)
    generator = torch.Generator().manual_seed(1)
    position = torch.cat(
        [torch.randint(0, LONGEST, (4000,), generator=generator), torch.tensor([0, 1, LONGEST - 2, LONGEST - 1])]
    )
    z, t = made.pos_emb.z[:, position], made.pos_emb.t[:, position]
    exact = exact_features(LONGEST, position)
    assert (z.double() - exact).abs().max() <= 6e-8  # half a unit in the last place of fp32 at 1
    found = made._values(z, t, slice(0, 8))
    expected = made.double()._values(exact, exact[..., :1], slice(0, 8))
    assert (found.double() - expected).norm() <= 1e-5 * expected.norm()


def test_neighbouring_positions_differ_at_sixteen_million() -> None:
    t = PositionalFeatures(LONGEST, 5).t.flatten()
    assert (t[1:] > t[:-1]).all()


@pytest.mark.parametrize("order", [2, 3])
@pytest.mark.parametrize("channels", [slice(None), slice(2, 6)])
def test_tiles_give_the_filter_and_its_gradients(order: int, channels: slice) -> None:
    made = make_filter(66, order=order)
    weight = torch.randn(order - 1, 8, 60, generator=torch.Generator().manual_seed(2))[:, channels]
    found = []
    for tile in (None, 7, 64):
        filters, biases = made(60, channels, tile)
        gradients = torch.autograd.grad((filters * weight).sum() + biases.sum(), list(made.parameters()))
        found.append([filters, biases, *gradients])
    for other in found[1:]:
        for one, two in zip(found[0], other, strict=True):
            assert (one - two).norm() <= 1e-5 * one.norm()
