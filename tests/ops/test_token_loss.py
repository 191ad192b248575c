"""The loss kernel against plain torch in float64: values and all gradients."""

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from tests.ops.comparison import TOLERANCE, assert_close, outputs_and_gradients, random

fused = pytest.importorskip("hyena_ds.ops.token_loss.fused")


def plain(hidden: Tensor, weight: Tensor, targets: Tensor) -> Tensor:
    logits = (hidden @ weight.T).transpose(1, 2)
    return functional.cross_entropy(logits, targets, reduction="none")


def check(device: torch.device, batch: int, length: int, width: int, dtype: torch.dtype) -> None:
    targets = torch.randint(0, 16, (batch, length), generator=torch.Generator().manual_seed(3))
    targets[0, 0] = -100
    inputs = [random(batch, length, width, seed=0, dtype=dtype), random(16, width, seed=1) / 8]
    found = outputs_and_gradients(lambda *given: fused.fused_nats(*given, targets.to(device)), inputs, device)
    exact = outputs_and_gradients(
        lambda *given: plain(*given, targets), [value.double() for value in inputs], torch.device("cpu")
    )
    assert_close(found, exact, TOLERANCE[dtype])
    assert_close(found[:1], exact[:1], 1e-6)


@pytest.mark.parametrize(("batch", "length", "width"), [(2, 33, 16), (1, 1, 64), (1, 130, 72), (3, 5, 256)])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_small_shapes(batch: int, length: int, width: int, dtype: torch.dtype, kernel_device: torch.device) -> None:
    check(kernel_device, batch, length, width, dtype)


@pytest.mark.gpu
@pytest.mark.parametrize(("batch", "length"), [(64, 1024), (1, 99_999)])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_realistic_shapes(batch: int, length: int, dtype: torch.dtype, kernel_device: torch.device) -> None:
    check(kernel_device, batch, length, 256, dtype)
