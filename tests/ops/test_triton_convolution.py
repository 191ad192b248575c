"""The Triton kernels against the definition: by Triton's interpreter on a CPU at small sizes, on a GPU as compiled."""

from itertools import pairwise, product
from typing import Any

import pytest
import torch
from torch import Tensor

pytest.importorskip("triton")

from hyena_ds.ops.long_convolution import long_convolution
from hyena_ds.ops.long_convolution.dispatch import convolution_gradients, convolve
from hyena_ds.ops.long_convolution.triton.plan import LONGEST, SHORTEST, factors_of

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
# A tile of several samples and of one; several sequences to a tile of columns; a butterfly; wide rows.
LENGTHS = (16, 100, 1000, 4096, 4100, 8192)
CASES = [*product(LENGTHS, ("exact", "fast")), (140_000, "exact"), (266_240, "exact")]
PRECISIONS = {"exact": (torch.float32, 2e-6), "fast": (torch.float32, 1e-3)}


def make_inputs(length: int, batch: int = 2, channels: int = 2) -> list[Tensor]:
    """Signal, filters that decay over the whole length, and bias, float64."""
    generator = torch.Generator().manual_seed(length)
    signal = torch.randn(batch, channels, length, generator=generator, dtype=torch.float64)
    decay = torch.exp(-torch.linspace(3, 15, channels)[:, None] * torch.linspace(0, 1, length)) + 0.05
    filter = torch.randn(channels, length, generator=generator, dtype=torch.float64) * decay / length**0.5
    return [signal, filter, torch.randn(channels, generator=generator, dtype=torch.float64)]


def outcome(backend: Any, inputs: list[Tensor], received: Tensor, bidirectional: bool = False) -> list[Tensor]:
    """The output and the gradients of signal, filter and bias."""
    leaves = [value.detach().requires_grad_() for value in inputs]
    output = long_convolution(*leaves, backend=backend, bidirectional=bidirectional)
    return [output.detach(), *torch.autograd.grad(output, leaves, received)]


def error(found: Tensor, expected: Tensor) -> float:
    return float((found.cpu().double() - expected).norm() / expected.norm())


def assert_close(found: list[Tensor], expected: list[Tensor], tolerance: float) -> None:
    """Each relative in norm; the bias gradient, a sum of values that cancel, against four deviations of that sum."""
    for value, exact in list(zip(found, expected, strict=True))[:3]:
        assert error(value, exact) <= tolerance
    terms = expected[0][:, 0].numel()
    assert (found[3].cpu() - expected[3]).abs().max() <= 4 * tolerance * terms**0.5


@pytest.mark.parametrize(("length", "backend"), CASES)
def test_values_and_gradients_are_those_of_float64(length: int, backend: str) -> None:
    inputs = make_inputs(length, *(5, 2) if length < 10_000 else (1, 1))
    received = torch.randn(inputs[0].shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    expected = outcome("torch", inputs, received)
    dtype, tolerance = PRECISIONS[backend]
    found = outcome(backend, [value.to(DEVICE, dtype) for value in inputs], received.to(DEVICE, dtype))
    assert_close(found, expected, tolerance)


@pytest.mark.parametrize("backend", PRECISIONS)
@pytest.mark.parametrize("length", [1000, 8192])
def test_both_directions(length: int, backend: str) -> None:
    inputs = make_inputs(length)
    received = torch.randn(inputs[0].shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    expected = outcome("torch", inputs, received, bidirectional=True)
    dtype, tolerance = PRECISIONS[backend]
    found = outcome(backend, [value.to(DEVICE, dtype) for value in inputs], received.to(DEVICE, dtype), True)
    assert_close(found, expected, tolerance)


@pytest.mark.parametrize("length", [1000, 20_000])
def test_a_slice_of_channels_is_convolved_where_it_lies(length: int) -> None:
    signal, filter, bias = (value.to(DEVICE, torch.float32) for value in make_inputs(length, channels=5))
    part = long_convolution(signal[:, 1:4], filter[1:4], bias[1:4], backend="exact")
    alone = long_convolution(signal[:, 1:4].clone(), filter[1:4], bias[1:4], backend="exact")
    assert torch.equal(part, alone)


@pytest.mark.parametrize(("slices", "length"), [(4, 1024), (3, 4101), (2, 8192), (4, 139_280)])
def test_slices_are_convolved_where_they_lie(slices: int, length: int) -> None:
    signal, filter, bias = (value.to(DEVICE, torch.float32) for value in make_inputs(length))
    received = signal.flip(1)
    settings: dict[str, Any] = {"backend": "fast", "bidirectional": False}
    expected, kept = convolve(signal, filter, bias, keep=True, **settings)
    gradients = convolution_gradients(received, kept.tensors, bias, **settings)
    apart, received = (
        value.unflatten(2, (slices, -1)).permute(2, 0, 1, 3).contiguous().permute(1, 2, 0, 3)
        for value in (signal, received)
    )
    found, kept = convolve(apart, filter, bias, keep=True, **settings)
    assert found.shape == apart.shape
    assert torch.equal(found.flatten(2), expected)
    found_gradients = convolution_gradients(received, kept.tensors, bias, **settings)
    assert torch.equal(found_gradients[0].flatten(2), gradients[0])
    assert all(map(torch.equal, found_gradients[1:], gradients[1:]))


@pytest.mark.parametrize("length", [1024, 8192])
def test_outliers_and_zeros_stay_finite(length: int) -> None:
    signal, filter, bias = (value.to(DEVICE, torch.float32) for value in make_inputs(length))
    signal[0, 0, length // 3] = 1e4
    signal[1] = 0
    filter[1] = 0
    found = outcome("fast", [signal.bfloat16(), filter, bias], torch.full_like(signal, 1e4).bfloat16())
    assert all(torch.isfinite(value).all() for value in found)
    assert (found[0][1] == 0).all()


def assert_one_frequency_fits(length: int) -> None:
    """A signal and a filter that add up to one value of their spectra each, the largest that there can be."""
    wave = torch.cos(torch.arange(length, dtype=torch.float64) * (torch.pi / (2 * factors_of(length).points)))
    inputs = [wave.expand(1, 1, length) * 1.99, wave[None] * 1.99, torch.zeros(1, dtype=torch.float64)]
    narrow = [value.to(DEVICE, torch.float32) for value in inputs]
    for both in (False, True):
        expected = outcome("torch", inputs, inputs[0], both)
        found = outcome("fast", narrow, narrow[0], both)
        for value, exact in list(zip(found, expected, strict=True))[:3]:
            assert error(value, exact) <= 1e-3


def test_the_largest_spectra_fit() -> None:
    assert_one_frequency_fits(100_000)


@pytest.mark.gpu
@pytest.mark.skipif(DEVICE == "cpu", reason="needs a CUDA GPU")
@pytest.mark.parametrize("length", [100_000, 160_000, 1_000_000, 2**20])
def test_the_largest_spectra_of_long_sequences_fit(length: int) -> None:
    assert_one_frequency_fits(length)


@pytest.mark.parametrize("length", [1000, 4100])
def test_what_memory_held_before_never_shows(length: int, monkeypatch: pytest.MonkeyPatch) -> None:
    inputs = [value.to(DEVICE, torch.float32) for value in make_inputs(length)]
    expected = outcome("fast", inputs, inputs[0])
    empty, new_empty = torch.empty, Tensor.new_empty
    monkeypatch.setattr(torch, "empty", lambda *a, **k: empty(*a, **k).fill_(float("nan")))
    monkeypatch.setattr(Tensor, "new_empty", lambda *a, **k: new_empty(*a, **k).fill_(float("nan")))
    for found, value in zip(outcome("fast", inputs, inputs[0]), expected, strict=True):
        assert torch.equal(found, value)


def test_a_length_is_padded_by_a_few_percent_at_most() -> None:
    for length in (*range(SHORTEST, 5000, 7), *range(5000, LONGEST, 9973), LONGEST):
        assert length <= factors_of(length).points <= length + max(64, length * 3 // 50)


def test_lengths_outside_are_named() -> None:
    for length in (SHORTEST - 1, LONGEST + 1):
        with pytest.raises(ValueError, match=f"length {length:,} is outside"):
            factors_of(length)
    with pytest.raises(ValueError, match="'exact' is for lengths up to 524,288, not 600,000"):
        long_convolution(*make_inputs(600_000, 1, 1), backend="exact")


@pytest.mark.gpu
@pytest.mark.skipif(DEVICE == "cpu", reason="needs a CUDA GPU")
@pytest.mark.parametrize("length", [1000, 1024, 2048, 4096, 16_384, 131_072, 2**19, 2**20])
def test_many_samples_and_channels_as_compiled(length: int) -> None:
    batch = max(1, 2**18 // length)
    inputs = make_inputs(length, batch, channels=8)
    received = torch.randn_like(inputs[0])
    expected = outcome("torch", inputs, received)
    for backend, (_, tolerance) in PRECISIONS.items():
        if backend == "exact" and length > 2**19:
            continue
        found = outcome(backend, [value.float().cuda() for value in inputs], received.float().cuda())
        assert_close(found, expected, tolerance)


@pytest.mark.gpu
@pytest.mark.skipif(DEVICE == "cpu", reason="needs a CUDA GPU")
def test_the_future_hardly_leaks_into_the_past() -> None:
    length = 2**20
    signal, filter, bias = (value.float().cuda() for value in make_inputs(length, 1, 4))
    outputs = []
    for _ in range(2):
        signal[..., length // 2 :] = torch.randn_like(signal[..., length // 2 :])
        outputs.append(long_convolution(signal, filter, bias, backend="fast")[..., : length // 2])
    for one, other in pairwise(outputs):
        assert (one - other).norm() <= 2e-3 * one.norm()
