"""The kernels of bias and GELU against plain torch in float64: values and all gradients."""

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from tests.ops.comparison import TOLERANCE, assert_close, outputs_and_gradients, random

fused = pytest.importorskip("hyena_ds.ops.linear_gelu.fused")


def plain(product: Tensor, bias: Tensor) -> Tensor:
    return functional.gelu(product + bias, approximate="tanh")


def check(device: torch.device, shape: tuple[int, ...], dtype: torch.dtype) -> None:
    inputs = [3 * random(*shape, seed=0, dtype=dtype), random(shape[-1], seed=1)]
    found = outputs_and_gradients(fused.fused_bias_gelu, inputs, device)
    exact = outputs_and_gradients(plain, [value.double() for value in inputs], torch.device("cpu"))
    assert_close(found, exact, TOLERANCE[dtype])


@pytest.mark.parametrize("shape", [(2, 33, 64), (1, 1, 300), (77, 16)])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_small_shapes(shape: tuple[int, ...], dtype: torch.dtype, kernel_device: torch.device) -> None:
    check(kernel_device, shape, dtype)


def test_programs_that_take_several_tiles(kernel_device: torch.device, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fused, "PROGRAMS", 3)
    check(kernel_device, (1, 200, 16), torch.float32)


def test_large_values_stay_finite(kernel_device: torch.device) -> None:
    values = torch.tensor([[-1e4, -100.0, 0.0, 100.0, 1e4]])
    found = outputs_and_gradients(fused.fused_bias_gelu, [values, torch.zeros(5)], kernel_device)
    torch.testing.assert_close(found[0], torch.tensor([[0.0, 0.0, 0.0, 100.0, 1e4]]).double(), rtol=0, atol=1e-30)
    assert all(torch.isfinite(value).all() for value in found)


@pytest.mark.gpu
@pytest.mark.parametrize("shape", [(2**16, 1024), (3, 12_345, 512)])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_realistic_shapes(shape: tuple[int, ...], dtype: torch.dtype, kernel_device: torch.device) -> None:
    check(kernel_device, shape, dtype)
