"""When a loss trace counts as within noise of another."""

import random

from benchmarks.loss_traces import AGAIN, ROUNDED, SEED, compared, planned_traces, within_noise

STEPS = 200


def noisy(size: float, seed: int, offset: float = 0.0) -> list[float]:
    draw = random.Random(seed)
    return [1.3 + offset + draw.gauss(0, size) for _ in range(STEPS)]


def found(backend: list[float]) -> dict[str, dict[str, float]]:
    reference = noisy(0.01, 1)
    seed = [loss + change - 1.3 for loss, change in zip(reference, noisy(0.02, 2), strict=True)]
    return compared({"torch": reference, SEED: seed, "fast": backend}, "torch")


def test_a_trace_with_less_noise_than_a_seed_passes() -> None:
    rounding = [loss + change - 1.3 for loss, change in zip(noisy(0.01, 1), noisy(1e-4, 3), strict=True)]
    assert within_noise(found(rounding), "fast")


def test_a_trace_with_more_noise_than_a_seed_fails() -> None:
    assert not within_noise(found(noisy(0.1, 4)), "fast")


def test_a_trace_that_ends_higher_fails_however_smooth() -> None:
    assert not within_noise(found([loss + 0.012 for loss in noisy(0.01, 1)]), "fast")


def test_each_trace_changes_one_thing() -> None:
    reference, *others = planned_traces("torch", ["fast", "exact"])
    assert [trace.name for trace in others] == [SEED, AGAIN, ROUNDED, "fast", "exact"]
    for trace in others:
        changes = [trace.backend != reference.backend, trace.seed_offset != 0, trace.rounded_weights]
        assert sum(changes) == (trace.name != AGAIN)
