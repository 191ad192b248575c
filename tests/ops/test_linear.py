"""A linear map whose bias' gradient is summed by a kernel against plain torch in float64: values and all gradients."""

import pytest
import torch
from torch.nn import functional

from hyena_ds.ops import fused as dispatch
from hyena_ds.ops.linear import linear
from tests.ops.comparison import TOLERANCE, assert_close, outputs_and_gradients, random

fused = pytest.importorskip("hyena_ds.ops.linear.fused")


@pytest.mark.parametrize("shape", [(2, 33, 64), (1, 1, 300), (777, 3)])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("programs", [1, 5, 2048])
def test_column_sums(
    shape: tuple[int, ...],
    dtype: torch.dtype,
    programs: int,
    kernel_device: torch.device,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(fused, "PROGRAMS", programs)
    value = random(*shape, seed=0, dtype=dtype)
    found = fused.column_sums(value.to(kernel_device)).cpu().double()
    assert_close([found], [value.double().flatten(0, -2).sum(0)], 1e-6)


def check(
    device: torch.device, monkeypatch: pytest.MonkeyPatch, shape: tuple[int, ...], width: int, dtype: torch.dtype
) -> None:
    monkeypatch.setattr(dispatch, "_served", lambda _: True)
    inputs = [random(*shape, seed=0, dtype=dtype), random(width, shape[-1], seed=1, dtype=dtype) / 8]
    inputs.append(random(width, seed=2, dtype=dtype))
    found = outputs_and_gradients(linear, inputs, device)
    exact = outputs_and_gradients(functional.linear, [value.double() for value in inputs], torch.device("cpu"))
    assert_close(found, exact, TOLERANCE[dtype])


@pytest.mark.parametrize("shape", [(2, 33, 16), (5, 64)])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_small_shapes(
    shape: tuple[int, ...], dtype: torch.dtype, kernel_device: torch.device, monkeypatch: pytest.MonkeyPatch
) -> None:
    check(kernel_device, monkeypatch, shape, 24, dtype)


@pytest.mark.gpu
@pytest.mark.parametrize("shape", [(2**16, 256), (3, 12_345, 256)])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_realistic_shapes(
    shape: tuple[int, ...], dtype: torch.dtype, kernel_device: torch.device, monkeypatch: pytest.MonkeyPatch
) -> None:
    check(kernel_device, monkeypatch, shape, 768, dtype)
