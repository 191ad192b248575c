"""What stays in fp32 when the weights' products are bf16: the residual stream and the logits."""

from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from hyena_ds.model.config import ModelConfig
from hyena_ds.model.language_model import HyenaLanguageModel

TOKENS = torch.randint(7, 11, (2, 30), generator=torch.Generator().manual_seed(0))


def make_model() -> HyenaLanguageModel:
    torch.manual_seed(0)
    return HyenaLanguageModel(ModelConfig(d_model=32, n_layer=3, l_max=34, embed_dropout=0.0))


def test_the_residual_stream_is_fp32_under_autocast() -> None:
    model, carried = make_model(), []

    def record(_module: Any, _inputs: Any, outputs: tuple[Tensor, Tensor]) -> None:
        carried.append(tuple(tensor.dtype for tensor in outputs))

    for layer in model.backbone.layers:
        layer.register_forward_hook(record)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        model(TOKENS)
    assert carried == [(torch.bfloat16, torch.float32)] * 3


def test_logits_are_fp32_under_autocast() -> None:
    model = make_model()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        logits, hidden = model(TOKENS), model.backbone(TOKENS)
    assert logits.dtype == torch.float32
    assert torch.equal(logits, functional.linear(hidden.float(), model.lm_head.weight))


def test_a_bf16_model_carries_an_fp32_residual() -> None:
    model, carried = make_model().bfloat16(), []
    model.backbone.layers[1].register_forward_hook(lambda *given: carried.append(given[2][1].dtype))
    assert model(TOKENS).dtype == torch.bfloat16
    assert carried == [torch.float32]


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-6), (torch.bfloat16, 2e-2)])
def test_a_model_of_another_precision_computes_the_same(dtype: torch.dtype, tolerance: float) -> None:
    expected = make_model()(TOKENS).double()
    found = make_model().to(dtype)(TOKENS)
    assert found.dtype == dtype
    assert (found.double() - expected).norm() <= tolerance * expected.norm()
