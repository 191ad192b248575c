"""Losses are sums over targets, and class weights leave their mean as it was."""

import numpy as np
import pytest
import torch
from torch.nn import functional

from hyena_ds.downstream.loss import class_weights, count_targets, loss_sum
from hyena_ds.errors import InputError


def test_each_loss_over_its_count_is_the_mean() -> None:
    outputs = torch.randn(6, 3, generator=torch.Generator().manual_seed(0))
    classes = torch.tensor([0, 1, 2, 2, 1, 0])
    values = torch.linspace(-1, 1, 18).view(6, 3)
    expected = {
        "multiclass": (classes, functional.cross_entropy(outputs, classes)),
        "regression": (values, functional.mse_loss(outputs, values)),
        "multilabel": (
            (values > 0).float(),
            functional.binary_cross_entropy_with_logits(outputs, (values > 0).float()),
        ),
    }
    for kind, (targets, mean) in expected.items():
        total = loss_sum(kind, outputs, targets)  # type: ignore[arg-type]
        assert total / count_targets(kind, targets.numpy()) == pytest.approx(float(mean))  # type: ignore[arg-type]


def test_positions_without_a_class_do_not_count() -> None:
    outputs, targets = torch.randn(2, 4, 3), torch.tensor([[0, 1, -100, -100], [2, -100, 1, -100]])
    kept = targets >= 0
    assert count_targets("position", targets.numpy()) == 4
    expected = functional.cross_entropy(outputs[kept], targets[kept], reduction="sum")
    assert float(loss_sum("position", outputs, targets)) == pytest.approx(float(expected))


@pytest.mark.parametrize("asked", ["balanced", (1.0, 5.0)])
def test_class_weights_have_mean_one_over_the_training_set(asked: str | tuple[float, ...]) -> None:
    targets = [np.array(number) for number in [0] * 9 + [1]]
    weights = class_weights(asked, targets, ("a", "b"))  # type: ignore[arg-type]
    assert weights is not None
    assert float(weights[torch.tensor([0] * 9 + [1])].mean()) == pytest.approx(1.0)
    assert float(weights[1] / weights[0]) == pytest.approx(9.0 if asked == "balanced" else 5.0)
    assert class_weights("none", targets, ("a", "b")) is None
    with pytest.raises(InputError, match="for each of a, b"):
        class_weights((1.0, 0.0), targets, ("a", "b"))
