"""Every ZeRO stage, world size, accumulation and checkpointing setting against plain torch in one process."""

from pathlib import Path
from typing import Any

import pytest
import torch

from hyena_ds.engine.optimizer import build_optimizer, learning_rate_factor
from hyena_ds.model.parameters import is_filter_parameter
from tests.engine.ranks import run_ranks
from tests.engine.step_worker import OPTIMIZER, SAMPLES, STEPS, loss_of, make_batch, make_model

TOLERANCE = 1e-5
WORKER = Path(__file__).with_name("step_worker.py")


@pytest.fixture(scope="module")
def plain() -> dict[str, Any]:
    """The same steps by autograd and torch's own AdamW and clipping."""
    model = make_model()
    optimizer = build_optimizer(model, OPTIMIZER, is_filter_parameter, fused=False)
    found: dict[str, Any] = {"loss": [], "norm": []}
    for step in range(STEPS):
        loss = loss_of(step)(model, torch.arange(SAMPLES)) / int(make_batch(step)[1].sum())
        loss.backward()
        if step == 0:
            found["gradients"] = {name: value.grad.clone() for name, value in model.named_parameters()}
        for group in optimizer.param_groups:
            group["lr"] = group["peak"] * learning_rate_factor(step, STEPS, OPTIMIZER)
        found["norm"].append(float(torch.nn.utils.clip_grad_norm_(model.parameters(), OPTIMIZER.gradient_clipping)))
        found["loss"].append(float(loss.detach()))
        optimizer.step()
        optimizer.zero_grad()
    found["parameters"] = {name: value.detach() for name, value in model.named_parameters()}
    return found


@pytest.fixture(scope="module", params=[1, 2], ids=["one rank", "two ranks"])
def results(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Any:
    path = tmp_path_factory.mktemp("engine") / "results.pt"
    run_ranks(request.param, WORKER, path)
    return torch.load(path, weights_only=True)


def _error(found: torch.Tensor, expected: torch.Tensor) -> float:
    return float((found - expected).norm() / expected.norm())


def test_the_reference_clips_and_spreads_its_targets_unequally(plain: dict[str, Any]) -> None:
    assert min(plain["norm"]) > OPTIMIZER.gradient_clipping
    counts = make_batch(0)[1].sum(dim=1)
    assert counts.min() == 0
    assert counts.max() > 20


def test_loss_and_norm_are_those_of_the_whole_step(results: Any, plain: dict[str, Any]) -> None:
    for case, found in results.items():
        assert found["loss"] == pytest.approx(plain["loss"], rel=TOLERANCE), case
        assert found["norm"] == pytest.approx(plain["norm"], rel=TOLERANCE), case


def test_every_gradient_is_the_plain_one(results: Any, plain: dict[str, Any]) -> None:
    for case, found in results.items():
        assert found["gradients"].keys() == plain["gradients"].keys()
        for name, expected in plain["gradients"].items():
            assert _error(found["gradients"][name], expected) <= TOLERANCE, (case, name)


def test_parameters_after_three_clipped_steps_are_the_plain_ones(results: Any, plain: dict[str, Any]) -> None:
    for case, found in results.items():
        for name, expected in plain["parameters"].items():
            assert _error(found["parameters"][name], expected) <= TOLERANCE, (case, name)


def test_a_gradient_that_is_no_number_changes_nothing(results: Any) -> None:
    for case, found in results.items():
        assert found["after_nan"]["skipped"], case
        for name, value in found["after_nan"]["parameters"].items():
            assert torch.equal(value, found["parameters"][name]), (case, name)


def test_a_step_dropped_between_micro_batches_changes_nothing(results: Any) -> None:
    for case, found in results.items():
        _, parts, _ = case
        if parts == 1:
            continue
        assert found["after_drop"].keys() == found["before_drop"].keys()
        for name, value in found["after_drop"].items():
            assert torch.equal(value, found["before_drop"][name]), (case, name)
