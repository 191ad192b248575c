"""Filters that the micro-batches of a step share: the gradients of a step, and how often the network is computed."""

from typing import Any

import pytest
import torch
from torch import Tensor

from hyena_ds.model.config import ModelConfig
from hyena_ds.model.execution import Execution
from hyena_ds.model.filter import HyenaFilter
from hyena_ds.model.filter_reuse import FilterReuse
from hyena_ds.model.language_model import HyenaLanguageModel

MICRO_BATCHES = 3


def make_model(policy: Any, order: int, largest_bytes: int) -> HyenaLanguageModel:
    torch.manual_seed(0)
    config = ModelConfig(d_model=8, n_layer=2, l_max=40, order=order, filter_order=8, embed_dropout=0.0)
    reuse = FilterReuse(largest_bytes)
    return HyenaLanguageModel(config, Execution(policy, tile_tokens=16, filter_reuse=reuse)).double()


def step(model: HyenaLanguageModel, stop_before: int = MICRO_BATCHES) -> dict[str, Tensor]:
    """The gradients that the first micro-batches of a step leave."""
    model.zero_grad()
    tokens = torch.randint(7, 11, (MICRO_BATCHES, 2, 33), generator=torch.Generator().manual_seed(1))
    for number, batch in enumerate(tokens[:stop_before]):
        model.backbone.execution.filter_reuse.begin(number, MICRO_BATCHES)
        model(batch[:, :-1], targets=batch[:, 1:]).sum().backward()
    return {name: parameter.grad.clone() for name, parameter in model.named_parameters()}


@pytest.mark.parametrize("order", [2, 3])
@pytest.mark.parametrize("policy", ["none", "mixer", "mlp", "block"])
def test_gradients_are_those_of_filters_computed_each_time(policy: str, order: int) -> None:
    expected = step(make_model(policy, order, largest_bytes=0))
    for name, gradient in step(make_model(policy, order, largest_bytes=2**20)).items():
        assert (gradient - expected[name]).norm() <= 1e-12 * expected[name].norm(), name


def test_the_network_is_computed_twice_a_step_and_differentiated_once(monkeypatch: pytest.MonkeyPatch) -> None:
    recorded: list[bool] = []
    values = HyenaFilter._values

    def counted(self: HyenaFilter, *given: Any) -> Tensor:
        recorded.append(torch.is_grad_enabled())
        return values(self, *given)

    monkeypatch.setattr(HyenaFilter, "_values", counted)
    model = make_model("none", 2, largest_bytes=2**20)
    step(model)
    assert sorted(recorded) == [False, False, True, True]  # two layers


def test_every_parameter_has_a_gradient_after_each_micro_batch() -> None:
    gradients = step(make_model("block", 2, largest_bytes=2**20), stop_before=1)
    assert gradients.keys() == dict(make_model("block", 2, 0).named_parameters()).keys()
    assert all((value == 0).all() for name, value in gradients.items() if "implicit_filter" in name)


def test_what_a_dropped_step_gathered_is_forgotten() -> None:
    model = make_model("none", 2, largest_bytes=2**20)
    step(model, stop_before=2)
    expected = step(make_model("none", 2, largest_bytes=2**20))
    for name, gradient in step(model).items():
        assert torch.equal(gradient, expected[name]), name


def test_a_larger_filter_is_computed_each_time() -> None:
    model = make_model("none", 2, largest_bytes=4 * 8 * 32 - 1)
    gradients = step(model, stop_before=1)
    assert any((value != 0).any() for name, value in gradients.items() if "implicit_filter" in name)


def test_nothing_is_reused_without_gradients() -> None:
    model = make_model("none", 2, largest_bytes=2**20).eval()
    tokens = torch.randint(7, 11, (1, 32))
    model.backbone.execution.filter_reuse.begin(0, 2)
    with torch.no_grad():
        before = model(tokens)
        for parameter in model.backbone.layers[0].mixer.filter_fn.implicit_filter.parameters():
            parameter += 1
        assert not torch.equal(model(tokens), before)
