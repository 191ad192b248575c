"""What the fast convolution promises beyond its values: bounded chunks, the wider precision, named errors."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from hyena_ds.ops.long_convolution import long_convolution
from hyena_ds.ops.long_convolution import right_angle as module


def make_inputs(batch: int, channels: int, length: int, dtype: torch.dtype = torch.float32) -> list[Tensor]:
    generator = torch.Generator().manual_seed(length)
    shapes = ((batch, channels, length), (channels, length), (channels,))
    return [torch.randn(shape, generator=generator, dtype=dtype).requires_grad_() for shape in shapes]


@pytest.mark.parametrize("bidirectional", [False, True])
@pytest.mark.parametrize(("batch", "budget"), [(1, 128), (3, 3 * 64 * 2), (3, 64), (4, 4 * 64 * 5)])
def test_no_transform_holds_more_than_the_budget(
    monkeypatch: pytest.MonkeyPatch, batch: int, budget: int, bidirectional: bool
) -> None:
    held = []

    def watched(transform: Callable[..., Tensor]) -> Callable[..., Tensor]:
        def call(*given: Any, **named: Any) -> Tensor:
            result = transform(*given, **named)
            held.append(result.numel())
            return result

        return call

    for name in ("fft", "ifft"):
        monkeypatch.setattr(torch.fft, name, watched(getattr(torch.fft, name)))
    monkeypatch.setattr(module, "CPU_CHUNK_ELEMENTS", budget)
    inputs = make_inputs(batch, 7, 63)
    long_convolution(*inputs, bidirectional=bidirectional).sum().backward()
    one_channel = batch * 63  # 63 points: the least a chunk can be
    assert one_channel <= max(held) <= max(budget, one_channel)


@pytest.mark.parametrize("length", [128, 243, 1000])
@pytest.mark.parametrize("bidirectional", [False, True])
def test_longer_filters_are_those_of_the_definition(length: int, bidirectional: bool) -> None:
    found, expected = [], []
    for backend, results in (("torch", found), ("reference", expected)):
        inputs = make_inputs(3, 2, length, torch.float64)
        output = long_convolution(*inputs, backend=backend, bidirectional=bidirectional)  # type: ignore[arg-type]
        results += [output, *torch.autograd.grad((output * output).sum(), inputs)]
    for value, exact in zip(found, expected, strict=True):
        assert (value - exact).norm() <= 1e-13 * exact.norm()


def test_a_float64_filter_is_convolved_in_float64() -> None:
    signal, filter, bias = (tensor.detach() for tensor in make_inputs(2, 3, 5000, torch.float64))
    signal = signal.float()
    exact = long_convolution(signal.double(), filter, bias)
    found = long_convolution(signal, filter, bias)
    assert found.dtype == torch.float32
    assert torch.equal(found, exact.float())


def test_a_second_derivative_is_refused_instead_of_wrong() -> None:
    inputs = make_inputs(1, 2, 16)
    (gradient,) = torch.autograd.grad(long_convolution(*inputs).square().sum(), inputs[0], create_graph=True)
    with pytest.raises(RuntimeError, match="once_differentiable"):
        gradient.sum().backward()


def test_gradients_keep_the_dtype_of_their_inputs() -> None:
    signal, filter, bias = make_inputs(2, 3, 50)
    signal = signal.detach().bfloat16().requires_grad_()
    long_convolution(signal, filter, bias).float().sum().backward()
    dtypes = [tensor.grad.dtype for tensor in (signal, filter, bias) if tensor.grad is not None]
    assert dtypes == [torch.bfloat16, torch.float32, torch.float32]


def test_a_bias_of_another_width_is_named() -> None:
    with pytest.raises(ValueError, match=r"a bias \(3,\), not .*\(1,\)"):
        long_convolution(torch.zeros(1, 3, 8), torch.zeros(3, 8), torch.zeros(1))


def test_an_unknown_backend_is_named() -> None:
    with pytest.raises(ValueError, match="'cudnn' is none of auto, reference, torch, fast, exact"):
        long_convolution(torch.zeros(1, 3, 8), torch.zeros(3, 8), torch.zeros(3), backend="cudnn")  # type: ignore[arg-type]
