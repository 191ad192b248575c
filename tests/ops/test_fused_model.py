"""The model on its kernels against the model in plain torch: the loss and every gradient, by every policy."""

from typing import Any

import pytest
import torch
from torch import Tensor

from hyena_ds.model.config import ModelConfig
from hyena_ds.model.dropout import dropout_keys
from hyena_ds.model.execution import Execution
from hyena_ds.model.language_model import HyenaLanguageModel
from hyena_ds.ops import fused

pytest.importorskip("triton")
POLICIES = ["none", "mixer", "mlp", "block"]


def nats_and_gradients(
    device: torch.device, policy: Any, *, width: int, length: int, order: int = 2, narrow: bool = False
) -> list[Tensor]:
    torch.manual_seed(0)
    config = ModelConfig(d_model=width, n_layer=2, l_max=length + 2, order=order, embed_dropout=0.1, resid_dropout=0.1)
    model = HyenaLanguageModel(config, Execution(activation_checkpointing=policy, tile_tokens=48)).to(device).train()
    tokens = torch.randint(7, 11, (2, length + 1), generator=torch.Generator().manual_seed(1)).to(device)
    keys = dropout_keys(0, 0, torch.arange(2, device=device))
    with torch.autocast(device.type, dtype=torch.bfloat16, enabled=narrow):
        nats = model(tokens[:, :-1], dropout_keys=keys, targets=tokens[:, 1:])
    assert nats.dtype == torch.float32
    nats.mean().backward()
    return [nats.detach(), *(parameter.grad for parameter in model.parameters())]


def check(device: torch.device, monkeypatch: pytest.MonkeyPatch, tolerance: float, **settings: Any) -> None:
    served: list[bool] = []

    def always(value: Tensor) -> bool:
        served.append(True)
        return value.dtype in fused.FUSED_DTYPES

    monkeypatch.setattr(fused, "_served", lambda _: False)
    plain = nats_and_gradients(device, **settings)
    monkeypatch.setattr(fused, "_served", always)
    found = nats_and_gradients(device, **settings)
    assert served
    scale = max(float(exact.norm()) for exact in plain[1:])
    for number, (value, exact) in enumerate(zip(found, plain, strict=True)):
        # A gradient that nearly vanishes is measured against the largest.
        error = float((value - exact).norm()) / max(float(exact.norm()), 1e-3 * scale)
        assert error <= tolerance, f"tensor {number}: {error:.2e}"


@pytest.mark.parametrize("policy", POLICIES)
def test_fp32(policy: str, kernel_device: torch.device, monkeypatch: pytest.MonkeyPatch) -> None:
    check(kernel_device, monkeypatch, 1e-5, policy=policy, width=16, length=45)


@pytest.mark.parametrize("policy", ["none", "block"])
def test_autocast(policy: str, kernel_device: torch.device, monkeypatch: pytest.MonkeyPatch) -> None:
    check(kernel_device, monkeypatch, 5e-2, policy=policy, width=16, length=45, narrow=True)


def test_order_3(kernel_device: torch.device, monkeypatch: pytest.MonkeyPatch) -> None:
    check(kernel_device, monkeypatch, 1e-5, policy="block", width=16, length=33, order=3)


@pytest.mark.gpu
@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize("narrow", [False, True])
def test_realistic_shapes(
    policy: str, narrow: bool, kernel_device: torch.device, monkeypatch: pytest.MonkeyPatch
) -> None:
    check(kernel_device, monkeypatch, 5e-2 if narrow else 1e-4, policy=policy, width=256, length=10_001, narrow=narrow)
