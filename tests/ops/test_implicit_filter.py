"""The kernels of the implicit filter against the filter in plain torch, in float64: values and all gradients."""

import pytest
import torch

from hyena_ds.model.config import ModelConfig
from hyena_ds.model.filter import HyenaFilter, PositionalFeatures
from tests.ops.comparison import assert_close, outputs_and_gradients

fused = pytest.importorskip("hyena_ds.ops.implicit_filter.fused")


def check(
    device: torch.device, width: int, channels: int, length: int, *, rows: slice = slice(None), scale: float = 0.2,
    tolerance: float = 2e-5,
) -> None:  # fmt: skip
    torch.manual_seed(0)
    l_max = length + 50
    made = HyenaFilter(
        ModelConfig(d_model=channels, n_layer=1, l_max=l_max, filter_order=width), PositionalFeatures(l_max, 5)
    )
    for parameter in made.implicit_filter.parameters():
        torch.nn.init.normal_(parameter, std=scale)
    torch.nn.init.uniform_(made.implicit_filter[1].freq, 1, 10)
    z, t = made.pos_emb.z[:, :length], made.pos_emb.t[:, :length]
    features, times, deltas, shift, *weights = made._fused_arguments(z, t, rows)

    def kernels(*weights: torch.Tensor) -> torch.Tensor:
        given = features.to(device), times.to(device), deltas.to(device)
        return fused.fused_implicit_filter(*given, shift, *weights)

    def plain(
        first: torch.Tensor, inner: torch.Tensor, biases: torch.Tensor, frequency: torch.Tensor, last: torch.Tensor
    ) -> torch.Tensor:
        hidden = features.double()
        for weight, bias in zip((first, *inner), biases, strict=True):
            hidden = torch.sin(frequency * (hidden @ weight.T + bias))
        return last @ hidden.T * (torch.exp(-deltas.double().abs()[:, None] * times.double()) + shift)

    found = outputs_and_gradients(kernels, weights, device)
    exact = outputs_and_gradients(plain, [weight.double() for weight in weights], torch.device("cpu"))
    assert_close(found, exact, tolerance)


@pytest.mark.parametrize(("width", "channels", "length"), [(16, 20, 150), (64, 70, 65), (32, 1, 33), (64, 64, 1)])
def test_small_shapes(width: int, channels: int, length: int, kernel_device: torch.device) -> None:
    check(kernel_device, width, channels, length)


def test_some_of_the_channels(kernel_device: torch.device) -> None:
    check(kernel_device, 16, 100, 70, rows=slice(3, 90))


def test_programs_that_take_several_tiles(kernel_device: torch.device, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fused, "PROGRAMS", 2)
    check(kernel_device, 16, 8, 330)


@pytest.mark.parametrize("scale", [1e-6, 1.0])
def test_small_and_large_weights(scale: float, kernel_device: torch.device) -> None:
    check(kernel_device, 16, 8, 100, scale=scale, tolerance=2e-3 if scale == 1 else 2e-5)


def test_weights_of_zero(kernel_device: torch.device) -> None:
    check(kernel_device, 16, 8, 20, scale=0.0)


def test_what_is_not_finite_shows(kernel_device: torch.device) -> None:
    tables = torch.ones(10, 5), torch.ones(10), torch.ones(4)
    sine_layers = torch.zeros(16, 5), torch.zeros(2, 16, 16), torch.zeros(3, 16), torch.ones(16)
    last = torch.ones(4, 16)
    last[:, 3] = torch.nan
    given = [value.to(kernel_device) for value in (*tables, *sine_layers, last)]
    filters = fused.fused_implicit_filter(*given[:3], 0.0, *given[3:])
    assert filters.isnan().all()


@pytest.mark.gpu
@pytest.mark.parametrize("length", [2**20, 160_000, 12_345])
def test_realistic_shapes(length: int, kernel_device: torch.device) -> None:
    check(kernel_device, 64, 256, length, scale=0.1, tolerance=1e-4)
