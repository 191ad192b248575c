"""Scores against scikit-learn, where they are defined and where they are not; intervals hold the value."""

from typing import Any

import numpy as np
import pytest
from scipy.stats import spearmanr
from sklearn.metrics import f1_score, matthews_corrcoef, roc_auc_score

from hyena_ds.downstream.metrics import Predictions, bootstrap, matthews, score


def drawn(kind: Any, count: int = 200, classes: int = 3) -> Predictions:
    generator = np.random.default_rng(5)
    outputs = generator.normal(size=(count, classes))
    if kind == "regression":
        return Predictions(
            kind, list((outputs + generator.normal(size=outputs.shape)).astype(np.float32)), list(outputs)
        )
    if kind == "multilabel":
        return Predictions(
            kind, list((outputs + generator.normal(size=outputs.shape) > 0).astype(np.float32)), list(outputs)
        )
    targets = (outputs + generator.normal(size=outputs.shape)).argmax(axis=1)
    if kind != "position":
        return Predictions(kind, list(targets), list(outputs))
    targets[::5] = -100
    return Predictions(kind, np.split(targets, [17, 90]), np.split(outputs, [17, 90]))


def test_classes_are_scored_as_scikit_learn_does() -> None:
    predictions = drawn("multiclass")
    targets, outputs = np.stack(predictions.targets), np.stack(predictions.outputs)
    shares = np.exp(outputs) / np.exp(outputs).sum(axis=1, keepdims=True)
    found = score(predictions)
    assert found["mcc"] == pytest.approx(matthews_corrcoef(targets, outputs.argmax(1)))
    assert found["f1"] == pytest.approx(f1_score(targets, outputs.argmax(1), average="macro"))
    assert found["auroc"] == pytest.approx(roc_auc_score(targets, shares, multi_class="ovr"))


def test_two_classes_are_scored_for_the_second() -> None:
    targets, outputs = np.array([0, 0, 0, 1]), np.array([[1.0, 0], [1, 0], [0, 1], [0, 2]])
    found = score(Predictions("binary", list(targets), list(outputs)))
    assert found["precision"] == 0.5
    assert found["recall"] == 1.0
    assert found["f1"] == pytest.approx(2 / 3)
    assert found["f1_macro"] == pytest.approx((2 / 3 + 4 / 5) / 2)
    assert found["auroc"] == 1.0


def test_positions_that_are_not_scored_do_not_count() -> None:
    predictions = drawn("position")
    targets, found, owners = predictions.rows()
    assert len(targets) == len(found) == len(owners) == 160
    assert np.array_equal(np.unique(owners), [0, 1, 2])
    right = found.argmax(axis=1) == targets
    assert score(predictions)["accuracy"] == pytest.approx(right.mean())


def test_ranks_of_equal_values_are_shared() -> None:
    targets, outputs = np.array([[1.0], [2], [2], [3]]), np.array([[0.0], [5], [1], [1]])
    found = score(Predictions("regression", list(targets), list(outputs)))
    assert found["spearman"] == pytest.approx(spearmanr(targets, outputs).statistic)


def test_what_is_not_defined_is_nan_and_warns_of_nothing() -> None:
    alone = Predictions("binary", [np.array(1)] * 3, [np.array([0.0, 1.0])] * 3)
    found = score(alone)
    assert found["accuracy"] == 1.0
    assert found["mcc"] == matthews(np.array([1, 1]), np.array([1, 1])) == 0.0
    assert np.isnan(found["auroc"])
    assert np.isnan(bootstrap(alone, 5, 0.9, seed=0)["auroc"]).all()
    assert np.isnan(score(Predictions("regression", [np.array([1.0])] * 2, [np.array([2.0])] * 2))["pearson"])


@pytest.mark.parametrize("kind", ["multiclass", "multilabel", "regression", "position"])
def test_intervals_hold_the_value_and_widen_with_confidence(kind: str) -> None:
    predictions = drawn(kind)
    values = score(predictions)
    wide, narrow = (bootstrap(predictions, 50, confidence, seed=1) for confidence in (0.99, 0.5))
    assert wide.keys() == values.keys()
    for name, value in values.items():
        assert wide[name][0] < value < wide[name][1]
        assert wide[name][0] < narrow[name][0] < narrow[name][1] < wide[name][1]
    assert bootstrap(predictions, 50, 0.99, seed=1) == wide
