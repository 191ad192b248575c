"""The Hyena operator alone: where its dropout stands, short filters of other widths, its choice of convolution."""

from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from hyena_ds.model.config import ModelConfig
from hyena_ds.model.dropout import dropout_keys
from hyena_ds.model.execution import Execution
from hyena_ds.model.filter import PositionalFeatures
from hyena_ds.model.operator import HyenaOperator
from hyena_ds.ops.dropout.reference import keep_mask
from hyena_ds.ops.long_convolution import long_convolution

SITE = 7


def make_operator(convolution: Any = "auto", **settings: Any) -> HyenaOperator:
    torch.manual_seed(0)
    config = ModelConfig(**{"d_model": 8, "n_layer": 1, "l_max": 34} | settings)
    execution = Execution(convolution=convolution)
    operator = HyenaOperator(config, PositionalFeatures(config.l_max, config.emb_dim), SITE, execution)
    for parameter in operator.filter_fn.implicit_filter.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    return operator


def make_hidden(length: int = 32) -> Tensor:
    return torch.randn(3, length, 8, generator=torch.Generator().manual_seed(1))


def test_dropout_falls_on_the_gated_value_before_its_convolution() -> None:
    operator, hidden = make_operator(hyena_dropout=0.4).train(), make_hidden()
    keys = dropout_keys(1, 2, torch.arange(3))
    projected = functional.pad(operator.in_proj(hidden).transpose(1, 2), (2, 0))
    short = functional.conv1d(projected, operator.short_filter.weight, operator.short_filter.bias, groups=24)
    first, gate, value = short.chunk(3, dim=1)
    kept = keep_mask(keys, SITE, 32, 8, 0.4).transpose(1, 2)
    filters, biases = operator.filter_fn(32)
    value = long_convolution(value * gate * kept / 0.6, filters[0], biases[0], backend="reference")
    expected = operator.out_proj((value * first).transpose(1, 2))
    torch.testing.assert_close(operator(hidden, None, keys), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("width", [1, 2, 4, 7])
def test_a_short_filter_of_any_width_is_causal_and_keeps_the_length(width: int) -> None:
    operator, hidden = make_operator(short_filter_order=width), make_hidden()
    changed = hidden.clone()
    changed[:, 20] += 3
    difference = (operator(changed, None, None) - operator(hidden, None, None)).abs().amax(dim=(0, 2))
    assert difference.shape == (32,)
    assert difference[:20].max() < 1e-5
    assert difference[20] > 1e-3


@pytest.mark.parametrize("order", [2, 3])
def test_the_definition_may_stand_in_for_the_fast_convolution(order: int) -> None:
    hidden = make_hidden()
    found, expected = (make_operator(name, order=order)(hidden, None, None) for name in ("torch", "reference"))
    assert not torch.equal(found, expected), "both took the same backend"
    assert (found - expected).norm() <= 1e-5 * expected.norm()
    with pytest.raises(ValueError, match="'cudnn' is none of"):
        make_operator("cudnn")(hidden, None, None)


@pytest.mark.parametrize("order", [2, 3])
def test_the_contents_of_masked_positions_reach_no_real_one(order: int) -> None:
    operator, hidden = make_operator(order=order), make_hidden()
    mask = torch.ones(3, 32, dtype=torch.int64)
    mask[:, 8:12] = 0  # inside, where both the short filter and the long convolution would carry it on
    changed = torch.where(mask[..., None] == 0, torch.full_like(hidden, 5.0), hidden)
    with_mask = [operator(given, mask, None)[mask == 1] for given in (hidden, changed)]
    without = [operator(given, None, None)[mask == 1] for given in (hidden, changed)]
    assert torch.equal(*with_mask)
    assert not torch.allclose(*without, atol=1e-2)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA GPU")
def test_padding_is_masked_by_the_kernels_of_a_gpu_as_by_plain_torch() -> None:
    mask = (torch.arange(32) >= torch.tensor([0, 5, 31])[:, None]).long()
    of_device = []
    for device in ("cpu", "cuda"):
        operator = make_operator("reference").to(device)
        hidden = make_hidden().to(device).requires_grad_()
        output = operator(hidden, mask.to(device), None)
        output[mask.to(device) == 1].square().sum().backward()
        gradients = [parameter.grad for parameter in operator.parameters() if parameter.grad is not None]
        of_device.append([value.cpu() for value in (output, hidden.grad, *gradients)])
    assert len(of_device[0]) > 8
    for expected, found in zip(*of_device, strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4 * float(expected.detach().abs().max()))
