"""The residual stream's kernels against plain torch in float64: values and all gradients."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from tests.ops.comparison import TOLERANCE, assert_close, outputs_and_gradients, random

fused = pytest.importorskip("hyena_ds.ops.residual_norm.fused")
EPSILON = 1e-5
FLOAT, BFLOAT = torch.float32, torch.bfloat16


def plain(hidden: Tensor, residual: Tensor, weight: Tensor, bias: Tensor) -> tuple[Tensor, Tensor]:
    total = residual + hidden
    return total, functional.layer_norm(total, weight.shape, weight, bias, EPSILON)


def check(device: torch.device, shape: tuple[int, int, int], dtype: torch.dtype) -> None:
    hidden, residual = random(*shape, seed=0, dtype=dtype), random(*shape, seed=1) + 3
    inputs = [hidden, residual, random(shape[2], seed=2), random(shape[2], seed=3)]

    def kernels(*given: Tensor) -> tuple[Tensor, Tensor]:
        total, normalised = fused.fused_added_norm(*given, EPSILON, dtype)
        return total, normalised

    found = outputs_and_gradients(kernels, inputs, device)
    exact = outputs_and_gradients(plain, [value.double() for value in inputs], torch.device("cpu"))
    assert_close(found[:1], exact[:1], 1e-6)
    assert_close(found, exact, TOLERANCE[dtype])


@pytest.mark.parametrize("shape", [(2, 33, 16), (1, 1, 256), (3, 70, 24), (1, 5, 300)])
@pytest.mark.parametrize("dtype", [FLOAT, BFLOAT])
def test_small_shapes(shape: tuple[int, int, int], dtype: torch.dtype, kernel_device: torch.device) -> None:
    check(kernel_device, shape, dtype)


def test_programs_that_take_several_tiles(kernel_device: torch.device, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fused, "PROGRAMS", 3)
    monkeypatch.setattr(fused, "TILE_ELEMENTS", 64)
    check(kernel_device, (2, 61, 16), FLOAT)


@pytest.mark.parametrize("dtype", [FLOAT, BFLOAT])
def test_the_norm_alone_of_a_part_of_each_sequence(dtype: torch.dtype, kernel_device: torch.device) -> None:
    inputs = [random(2, 40, 32, seed=0), random(32, seed=1), random(32, seed=2)]

    def of(function: Callable[..., Tensor]) -> Callable[..., Tensor]:
        return lambda residual, weight, bias: function(residual[:, 3:30], weight, bias)

    found = outputs_and_gradients(of(lambda *given: fused.fused_norm(*given, EPSILON, dtype)), inputs, kernel_device)
    exact = outputs_and_gradients(
        of(lambda residual, weight, bias: functional.layer_norm(residual, weight.shape, weight, bias, EPSILON)),
        [value.double() for value in inputs],
        torch.device("cpu"),
    )
    assert_close(found, exact, TOLERANCE[dtype])


@pytest.mark.parametrize("used", [0, 1])
def test_one_output_alone_may_be_used(used: int, kernel_device: torch.device) -> None:
    inputs = [random(1, 9, 16, seed=0, dtype=BFLOAT), *(random(*shape, seed=1) for shape in ((1, 9, 16), (16,), (16,)))]
    found = outputs_and_gradients(
        lambda *given: fused.fused_added_norm(*given, EPSILON, FLOAT)[used], inputs, kernel_device
    )
    exact = outputs_and_gradients(
        lambda *given: plain(*given)[used], [value.double() for value in inputs], torch.device("cpu")
    )
    assert_close(found, exact, TOLERANCE[BFLOAT])


@pytest.mark.gpu
@pytest.mark.parametrize("shape", [(64, 1024, 256), (1, 99_999, 256), (1, 2**16, 128)])
@pytest.mark.parametrize("dtype", [FLOAT, BFLOAT])
def test_realistic_shapes(shape: tuple[int, int, int], dtype: torch.dtype, kernel_device: torch.device) -> None:
    check(kernel_device, shape, dtype)
