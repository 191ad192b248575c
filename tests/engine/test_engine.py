"""Every ZeRO stage, world size, sequence-parallel degree, accumulation and checkpointing against plain torch.

One launch a world size runs its cases: those that pair every two settings (of eight ranks half of them), or with
`-m grid` all.
"""

import itertools
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch

from hyena_ds.engine.optimizer import build_optimizer, learning_rate_factor
from hyena_ds.model.parameters import is_filter_parameter
from hyena_ds.model.sequence import WholeSequence
from tests.engine.ranks import run_ranks
from tests.engine.step_worker import (
    DECAY,
    OPTIMIZER,
    SAMPLES,
    STEPS,
    Case,
    half,
    loss_of,
    make_batch,
    make_model,
    pairs,
)

TOLERANCE = 1e-5
WORKER = Path(__file__).with_name("step_worker.py")
# (data-parallel size, sequence-parallel size)
DEGREES = [(1, 1), (2, 1), (1, 2), (2, 2), (1, 4), (2, 4)]
LARGEST = (2, 4)


@cache
def plain(inputs: str, model_name: str) -> dict[str, Any]:
    """The same steps in one process, by autograd and torch's own AdamW and clipping."""
    case = Case(0, "none", 1, inputs, model_name)
    model = make_model(case, WholeSequence())
    optimizer = build_optimizer(model, OPTIMIZER, is_filter_parameter, fused=False)
    found: dict[str, Any] = {"loss": [], "norm": []}
    for step in range(STEPS):
        total = loss_of(step, case, WholeSequence())(model, torch.arange(SAMPLES))
        loss = total / int(make_batch(step).counted.sum())
        loss.backward()
        if step == 0:
            found["gradients"] = {name: value.grad.clone() for name, value in model.named_parameters()}
        for group in optimizer.param_groups:
            group["lr"] = group["peak"] * learning_rate_factor(step, STEPS, OPTIMIZER)
        found["norm"].append(float(torch.nn.utils.clip_grad_norm_(model.parameters(), OPTIMIZER.gradient_clipping)))
        found["loss"].append(float(loss.detach()))
        optimizer.step()
        optimizer.zero_grad()
        now = {name: value.detach().double() for name, value in model.named_parameters()}
        decay = min(DECAY, (2 + step) / (11 + step)) if step else 0.0
        found["average"] = {
            name: decay * found["average"][name] + (1 - decay) * value if step else value for name, value in now.items()
        }
    found["parameters"] = {name: value.detach() for name, value in model.named_parameters()}
    return found


@pytest.fixture(
    scope="module",
    params=[
        *(("half" if degrees == LARGEST else "pairs", *degrees) for degrees in DEGREES),
        *(pytest.param(("grid", *degrees), marks=pytest.mark.grid) for degrees in DEGREES),
    ],
    ids=lambda param: f"{param[0]}, data {param[1]}, sequence {param[2]}",
)
def results(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Any:
    kind, data, sequence = request.param
    path = tmp_path_factory.mktemp("engine") / "results.pt"
    run_ranks(data * sequence, WORKER, path, sequence, kind)
    return {Case(*key): found for key, found in torch.load(path, weights_only=True).items()}


def _error(found: torch.Tensor, expected: torch.Tensor) -> float:
    return float((found - expected).norm() / expected.norm())


def test_the_cases_pair_every_two_settings() -> None:
    for first, second in itertools.combinations(range(len(Case._fields)), 2):
        met = {(case[first], case[second]) for case in pairs()}
        assert len(met) == len({pair[0] for pair in met}) * len({pair[1] for pair in met})


def test_half_of_the_cases_has_every_value() -> None:
    for values, some in zip(zip(*pairs(), strict=True), zip(*half(), strict=True), strict=True):
        assert set(some) == set(values)


def test_the_reference_clips_and_spreads_its_targets_unequally() -> None:
    assert min(plain("plain", "order 2")["norm"]) > OPTIMIZER.gradient_clipping
    counts = make_batch(0).counted.sum(dim=1)
    assert counts.min() == 0
    assert counts.max() > 20


def test_loss_and_norm_are_those_of_the_whole_step(results: Any) -> None:
    for case, found in results.items():
        expected = plain(case.inputs, case.model)
        assert found["loss"] == pytest.approx(expected["loss"], rel=TOLERANCE), case
        assert found["norm"] == pytest.approx(expected["norm"], rel=TOLERANCE), case


def test_every_gradient_is_the_plain_one(results: Any) -> None:
    for case, found in results.items():
        expected = plain(case.inputs, case.model)["gradients"]
        assert found["gradients"].keys() == expected.keys()
        for name, gradient in expected.items():
            assert _error(found["gradients"][name], gradient) <= TOLERANCE, (case, name)


def test_parameters_after_three_clipped_steps_are_the_plain_ones(results: Any) -> None:
    for case, found in results.items():
        for name, expected in plain(case.inputs, case.model)["parameters"].items():
            assert _error(found["parameters"][name], expected) <= TOLERANCE, (case, name)


def test_the_average_of_the_parameters_is_the_plain_one(results: Any) -> None:
    for case, found in results.items():
        expected = plain(case.inputs, case.model)
        assert found["average"].keys() == expected["average"].keys()
        for name, average in expected["average"].items():
            assert _error(found["average"][name], average) <= TOLERANCE, (case, name)
    moved = max(_error(expected["parameters"][name], average) for name, average in expected["average"].items())
    assert moved > 100 * TOLERANCE


def test_a_gradient_that_is_no_number_changes_nothing(results: Any) -> None:
    for case, found in results.items():
        assert found["after_nan"]["skipped"], case
        for name, value in found["after_nan"]["parameters"].items():
            assert torch.equal(value, found["parameters"][name]), (case, name)


def test_a_step_dropped_between_micro_batches_changes_nothing(results: Any) -> None:
    for case, found in results.items():
        if case.parts == 1:
            continue
        assert found["after_drop"].keys() == found["before_drop"].keys()
        for name, value in found["after_drop"].items():
            assert torch.equal(value, found["before_drop"][name]), (case, name)
