"""What benchmarks/training_step.py makes of its measurements."""

from typing import Any

import pytest
import torch

from benchmarks.training_step import ATTENTION, KEPT, OURS, PLAIN, fitting, predicted_seconds, ratios


def row(model: str, length: int, seconds: float) -> dict[str, Any]:
    return {"model": model, "length": length, "seconds": seconds, "tokens_per_second": 1024 / seconds}


def test_ratios_are_to_ours_and_leave_out_what_was_not_measured() -> None:
    rows = [row(OURS, 64, 0.5), row(KEPT, 64, 0.4), row(PLAIN, 64, 2.0), row(ATTENTION, 64, 10.0), row(OURS, 128, 1.0)]
    rows.append({"model": ATTENTION, "length": 128, "left_out": "a step would take about 99 s"})
    assert ratios(rows) == {"64": {PLAIN: 4.0, ATTENTION: 20.0}, "128": {}}


def test_attention_is_predicted_from_its_last_length() -> None:
    assert predicted_seconds([], 64) == 0.0
    assert predicted_seconds([row(OURS, 64, 9.0), row(ATTENTION, 64, 0.5)], 1024) == 8.0


def test_memory_that_runs_out_halves_the_micro_batch_of_the_same_step() -> None:
    tried = []

    def measure(batch: int, micro_batches: int) -> dict[str, Any]:
        tried.append((batch, micro_batches))
        if batch > 4:
            raise torch.OutOfMemoryError
        return {"seconds": 1.0}

    found = fitting(measure, tokens=1024, length=64, most=1024)
    assert tried == [(16, 1), (8, 2), (4, 4)]
    assert (found["batch"], found["micro_batches"]) == (4, 4)


def test_what_never_fits_is_left_out() -> None:
    def measure(batch: int, micro_batches: int) -> dict[str, Any]:
        raise torch.OutOfMemoryError

    assert "out of memory" in fitting(measure, tokens=256, length=64, most=256)["left_out"]


@pytest.mark.parametrize(("most", "expected"), [(64, (1, 4)), (128, (2, 2)), (10_000, (4, 1))])
def test_a_micro_batch_has_at_most_so_many_tokens(most: int, expected: tuple[int, int]) -> None:
    found = fitting(lambda batch, micro_batches: {"seconds": 2.0}, tokens=256, length=64, most=most)
    assert (found["batch"], found["micro_batches"]) == expected
    assert found["tokens_per_second"] == 128.0
