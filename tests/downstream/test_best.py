"""The best step by any metric, kept where a run that goes on finds it."""

import json
import math
from pathlib import Path

import pytest
import torch

from hyena_ds.downstream.best import BestScore, best_path, keep_best
from hyena_ds.engine.checkpoint_store import read_checkpoint


@pytest.mark.parametrize(("metric", "values", "step"), [("mcc", [0.1, 0.3, 0.2, 0.3], 2), ("mse", [3.0, 1.0, 2.0], 2)])
def test_the_first_best_value_is_kept(metric: str, values: list[float], step: int) -> None:
    best = BestScore(metric)  # type: ignore[arg-type]
    for number, value in enumerate(values, start=1):
        best.offer(value, number)
    assert best.step == step
    assert best.worse == len(values) - step


def test_a_value_that_is_not_defined_is_better_than_none_and_worse_than_any() -> None:
    best = BestScore("auroc")
    assert best.offer(math.nan, 1)
    assert BestScore.restored("auroc", json.loads(json.dumps(best.state()))).step == 1
    assert best.offer(0.1, 2)
    assert not best.offer(math.nan, 3)
    assert BestScore.restored("auroc", json.loads(json.dumps(best.state()))) == best


def test_the_best_step_of_the_last_checkpoint_stays(tmp_path: Path) -> None:
    for step, saved_best in ((5, 0), (10, 5), (15, 5)):
        keep_best(tmp_path, step, {"score.weight": torch.full((1,), step)}, "", saved_best=saved_best)
    assert sorted(path.name for path in (tmp_path / "best").iterdir()) == ["step-00000005", "step-00000015"]
    assert read_checkpoint(best_path(tmp_path, 5)).parameters["score.weight"] == 5
