"""The kernel of dropout by keys against plain torch, to the bit."""

import pytest
import torch

from hyena_ds.model.dropout import Dropout, dropout_keys
from hyena_ds.ops import fused as dispatch
from hyena_ds.ops.dropout.reference import plainly_dropped
from tests.ops.comparison import random

fused = pytest.importorskip("hyena_ds.ops.dropout.fused")
FLOAT, BFLOAT = torch.float32, torch.bfloat16


def check(
    device: torch.device, shape: tuple[int, int, int], dtype: torch.dtype, *, start: int = 0, turned: bool = False
) -> None:
    """`turned` values have their positions contiguous."""
    batch = shape[0]
    keys = dropout_keys(3, 5, torch.arange(batch, device=device))
    # Multiples of 3, so that the interpreter, which cuts off what bf16 cannot hold, gives what a GPU rounds to.
    value = (3 * torch.randint(-40, 40, shape, generator=torch.Generator().manual_seed(0))).to(device, dtype)
    if turned:
        value = value.transpose(1, 2).contiguous().transpose(1, 2)
    found = fused.fused_dropped(value, keys, 7, 0.25, start)
    expected = plainly_dropped(value, keys, 7, 0.25, start)
    assert torch.equal(found, expected)
    assert found.stride() == expected.stride()


@pytest.mark.parametrize("shape", [(2, 33, 16), (1, 1, 300), (3, 70, 5)])
@pytest.mark.parametrize("dtype", [FLOAT, BFLOAT])
@pytest.mark.parametrize("start", [0, 2**33 + 5])
def test_small_shapes(shape: tuple[int, int, int], dtype: torch.dtype, start: int, kernel_device: torch.device) -> None:
    check(kernel_device, shape, dtype, start=start)


def test_contiguous_positions(kernel_device: torch.device) -> None:
    check(kernel_device, (2, 40, 24), BFLOAT, turned=True)


def test_gradients_are_dropped_as_values_are(kernel_device: torch.device, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dispatch, "_served", lambda _: True)
    keys = dropout_keys(3, 5, torch.arange(2, device=kernel_device))
    value = random(2, 30, 16, seed=0).to(kernel_device).requires_grad_()
    output = Dropout(0.3, 1).train()(value, keys, 9)
    (gradient,) = torch.autograd.grad(output.sum(), value)
    assert torch.equal(output, value * gradient)
    assert torch.equal(output, plainly_dropped(value, keys, 1, 0.3, 9))


@pytest.mark.gpu
@pytest.mark.parametrize("shape", [(64, 1024, 256), (1, 99_999, 256)])
@pytest.mark.parametrize("dtype", [FLOAT, BFLOAT])
def test_realistic_shapes(shape: tuple[int, int, int], dtype: torch.dtype, kernel_device: torch.device) -> None:
    check(kernel_device, shape, dtype, start=2**31 - 5)
