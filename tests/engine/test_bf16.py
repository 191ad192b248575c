"""bf16 changes the rounding of matrix products and nothing else."""

from pathlib import Path
from typing import Any

import pytest
import torch

from tests.engine.bf16_worker import LENGTH, ROWS, loss_of, make_model
from tests.engine.ranks import run_ranks

WORKER = Path(__file__).with_name("bf16_worker.py")


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Any:
    path = tmp_path_factory.mktemp("bf16") / "results.pt"
    run_ranks(2, WORKER, path)
    return torch.load(path, weights_only=True)


def test_the_layers_do_run_in_bf16(results: Any) -> None:
    assert all(found["inner"] == torch.bfloat16 for found in results.values())


def test_gradients_arrive_in_fp32(results: Any) -> None:
    for stage, found in results.items():
        for name, gradient in found["gradients"].items():
            assert gradient.dtype == torch.float32, (stage, name)
            held_by_bf16 = gradient.bfloat16().float() == gradient
            # Each addend of a matrix product's gradient is bf16 by nature; a sum rounded on its way would be, too.
            assert held_by_bf16.float().mean() < 0.9, (stage, name)


def test_gradients_are_near_those_of_fp32(results: Any) -> None:
    model = make_model()
    (loss_of(model, torch.arange(ROWS)) / (ROWS * LENGTH)).backward()
    for stage, found in results.items():
        for name, parameter in model.named_parameters():
            assert parameter.grad is not None
            error = (found["gradients"][name] - parameter.grad).norm() / parameter.grad.norm()
            assert error < 0.05, (stage, name)


def test_the_filter_is_the_fp32_filter_at_every_stage(results: Any) -> None:
    with torch.no_grad():
        expected, _ = make_model().backbone.layers[1].mixer.filter_fn(LENGTH)
    for stage, found in results.items():
        error = (found["filter"] - expected).norm() / expected.norm()
        assert error <= 1e-6, (stage, float(error))
