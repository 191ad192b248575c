"""The fast convolution against its definition, values and all gradients."""

from itertools import product
from typing import Any

import pytest
import torch
from torch import Tensor

from hyena_ds.ops.long_convolution import long_convolution
from hyena_ds.ops.long_convolution import right_angle as module
from hyena_ds.ops.long_convolution.right_angle import fast_length

LENGTHS = (1, 2, 3, 17, 64, 127, 250)


def make_inputs(length: int, dtype: torch.dtype = torch.float64, batch: int = 2, channels: int = 3) -> list[Tensor]:
    """Signal, a filter that decays over the whole length, and bias; all require gradients."""
    generator = torch.Generator().manual_seed(length)
    signal = torch.randn(batch, channels, length, generator=generator, dtype=torch.float64)
    decay = torch.exp(-torch.linspace(3, 15, channels, dtype=torch.float64)[:, None] * torch.linspace(0, 1, length))
    filter = torch.randn(channels, length, generator=generator, dtype=torch.float64) * (decay + 0.05)
    bias = torch.randn(channels, generator=generator, dtype=torch.float64)
    return [tensor.to(dtype).requires_grad_() for tensor in (signal, filter, bias)]


def outcome(backend: Any, inputs: list[Tensor], bidirectional: bool) -> list[Tensor]:
    """The output and the gradients of signal, filter and bias."""
    output = long_convolution(*inputs, backend=backend, bidirectional=bidirectional)
    weight = torch.randn(output.shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    return [output.detach(), *torch.autograd.grad(output, inputs, weight.to(output.dtype))]


def error(found: Tensor, expected: Tensor) -> float:
    found, expected = found.detach().double(), expected.detach().double()
    return float((found - expected).norm() / expected.norm())


@pytest.mark.parametrize(("length", "bidirectional"), list(product(LENGTHS, (False, True))))
def test_values_and_gradients_are_those_of_the_definition(length: int, bidirectional: bool) -> None:
    inputs = make_inputs(length)
    expected = outcome("reference", inputs, bidirectional)
    for found, value in zip(outcome("torch", inputs, bidirectional), expected, strict=True):
        torch.testing.assert_close(found, value, rtol=1e-11, atol=1e-11)


@pytest.mark.parametrize("budget", [1, 250, 2 * 250 * 2])
def test_chunks_of_channels_change_nothing(monkeypatch: pytest.MonkeyPatch, budget: int) -> None:
    inputs = make_inputs(250)
    expected = outcome("torch", inputs, False)
    monkeypatch.setattr(module, "CPU_CHUNK_ELEMENTS", budget)
    for found, value in zip(outcome("torch", inputs, False), expected, strict=True):
        torch.testing.assert_close(found, value, rtol=1e-12, atol=1e-12)


def test_both_directions_are_the_convolution_plus_its_adjoint() -> None:
    signal, filter, bias = (tensor.detach() for tensor in make_inputs(40))
    signal.requires_grad_()
    nothing = torch.zeros_like(bias)
    forward = long_convolution(signal, filter, nothing, backend="reference")
    (adjoint,) = torch.autograd.grad(forward, signal, signal.detach())
    expected = forward + adjoint - filter[:, :1] * signal + bias[:, None] * signal
    torch.testing.assert_close(long_convolution(signal, filter, bias, bidirectional=True), expected)


@pytest.mark.parametrize("bidirectional", [False, True])
def test_gradients_pass_gradcheck(bidirectional: bool) -> None:
    inputs = make_inputs(7, batch=2, channels=2)
    assert torch.autograd.gradcheck(lambda *given: long_convolution(*given, bidirectional=bidirectional), inputs)


@pytest.mark.parametrize("needed", [(0,), (1,), (2,), (0, 2)])
def test_each_gradient_stands_alone(needed: tuple[int, ...]) -> None:
    inputs = make_inputs(33)
    _, *expected = outcome("reference", inputs, False)
    detached = [tensor.detach().requires_grad_(number in needed) for number, tensor in enumerate(inputs)]
    output = long_convolution(*detached)
    weight = torch.randn(output.shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    output.backward(weight)
    for number, tensor in enumerate(detached):
        if number in needed:
            torch.testing.assert_close(tensor.grad, expected[number])
        else:
            assert tensor.grad is None


@pytest.mark.parametrize("length", [4096, 5000, 16384])
def test_fp32_stays_within_2e_6_of_float64(length: int) -> None:
    exact = outcome("torch", make_inputs(length), False)
    for found, expected in zip(outcome("torch", make_inputs(length, torch.float32), False), exact, strict=True):
        assert error(found, expected) < 2e-6


def test_a_bf16_signal_is_rounded_once() -> None:
    signal, filter, bias = make_inputs(500, torch.float32)
    short = signal.detach().bfloat16()
    found = long_convolution(short, filter, bias)
    assert found.dtype == torch.bfloat16
    exact = long_convolution(short.double(), filter.double(), bias.double())
    assert error(found, exact) < 2.1e-3
    assert torch.equal(found, long_convolution(short.float(), filter, bias).bfloat16())


def test_the_future_does_not_reach_the_past() -> None:
    signal, filter, bias = (tensor.detach() for tensor in make_inputs(1024))
    changed = signal.clone()
    changed[..., 512:] += 10
    past = [long_convolution(given, filter, bias)[..., :512] for given in (signal, changed)]
    torch.testing.assert_close(*past, rtol=0, atol=1e-11)


def test_a_strided_signal_is_read_in_place() -> None:
    signal, filter, bias = (tensor.detach() for tensor in make_inputs(64))
    strided = signal.transpose(1, 2).contiguous().transpose(1, 2)
    torch.testing.assert_close(long_convolution(strided, filter, bias), long_convolution(signal, filter, bias))


def _is_smooth(number: int) -> bool:
    for prime in (2, 3, 5, 7):
        while number % prime == 0:
            number //= prime
    return number == 1


def test_the_fast_length_is_the_next_smooth_number() -> None:
    for length in [*range(1, 600), 999_999, 1_000_002, 450_002]:
        expected = next(number for number in range(length, 2 * length + 1) if _is_smooth(number))
        assert fast_length(length) == expected


def test_shapes_that_do_not_fit_are_named() -> None:
    with pytest.raises(ValueError, match=r"\(3, 8\).*\(3, 7\)"):
        long_convolution(torch.zeros(1, 3, 8), torch.zeros(3, 7), torch.zeros(3))
