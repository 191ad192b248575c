"""Block inputs in the host's memory: the same gradients, less memory. Needs a GPU; on a CPU nothing is moved."""

from typing import Any

import pytest
import torch

from hyena_ds.model.config import ModelConfig
from hyena_ds.model.execution import Execution
from hyena_ds.model.language_model import HyenaLanguageModel
from hyena_ds.ops.long_convolution import long_convolution

NO_GPU = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA GPU")


def step(offload: bool, device: str, length: int) -> tuple[dict[str, Any], int]:
    """Gradients of one step, and the memory between forward and backward pass."""
    torch.manual_seed(0)
    config = ModelConfig(d_model=64, n_layer=4, l_max=length + 2, embed_dropout=0.0)
    execution = Execution(activation_checkpointing="block", offload=offload, tile_tokens=2**12)
    model = HyenaLanguageModel(config, execution).to(device)
    tokens = torch.randint(7, 11, (1, length), device=device)
    loss = model(tokens, targets=tokens).sum()
    kept = torch.cuda.memory_allocated() if device == "cuda" else 0
    loss.backward()
    return {name: value.grad for name, value in model.named_parameters()}, kept


@pytest.mark.parametrize("device", ["cpu", pytest.param("cuda", marks=[pytest.mark.gpu, NO_GPU])])
def test_offloading_changes_no_gradient(device: str) -> None:
    (plain, _), (offloaded, _) = (step(offload, device, 2**13) for offload in (False, True))
    for name, gradient in plain.items():
        # CUDA sums an embedding's gradient in any order.
        assert (gradient - offloaded[name]).norm() <= 1e-6 * gradient.norm(), name


@pytest.mark.gpu
@NO_GPU
def test_offloading_takes_the_residual_stream_off_the_gpu() -> None:
    length = 2**18
    (_, plain), (_, offloaded) = (step(offload, "cuda", length) for offload in (False, True))
    assert plain - offloaded >= 0.9 * 4 * 4 * 64 * length  # layers, bytes, channels, positions


@pytest.mark.gpu
@NO_GPU
def test_more_than_two_to_the_31_elements_are_addressed() -> None:
    channels, length = 130, 2**24 + 8
    assert channels * length > 2**31
    generator = torch.Generator("cuda").manual_seed(0)
    signal = torch.randn(1, channels, length, device="cuda", generator=generator, dtype=torch.bfloat16)
    filter = torch.randn(1, length, device="cuda", generator=generator).expand(channels, -1)
    bias = torch.randn(channels, device="cuda", generator=generator)
    found = long_convolution(signal, filter, bias)[:, -1:]
    alone = long_convolution(signal[:, -1:].clone(), filter[-1:].clone(), bias[-1:])
    assert (found.float() - alone.float()).norm() <= 1e-3 * alone.float().norm()
