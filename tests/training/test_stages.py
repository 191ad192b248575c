import pytest
from pydantic import ValidationError

from hyena_ds.training.stages import StageConfig, plan_stages


def test_tokens_a_step_stay_constant_while_the_length_grows() -> None:
    stages = [StageConfig(length=length, steps=10) for length in (1_000, 2_000, 8_000, 50_000)]
    schedule = plan_stages(stages, tokens_per_step=400_000)
    assert [stage.samples for stage in schedule.stages] == [400, 200, 50, 8]
    assert [stage.first_step for stage in schedule.stages] == [0, 10, 20, 30]
    assert schedule.total_steps == 40


def test_a_stage_counted_in_tokens_trains_at_least_that_many() -> None:
    (stage,) = plan_stages([StageConfig(length=1_000, tokens=10_001)], tokens_per_step=4_000).stages
    assert stage.steps == 3
    assert stage.steps * stage.samples * stage.length >= 10_001


def test_a_window_longer_than_the_step_is_one_sample() -> None:
    (stage,) = plan_stages([StageConfig(length=1_000_000, steps=1)], tokens_per_step=262_144).stages
    assert stage.samples == 1


@pytest.mark.parametrize("measures", [{}, {"steps": 1, "tokens": 1}])
def test_a_stage_has_one_measure(measures: dict[str, int]) -> None:
    with pytest.raises(ValidationError, match="exactly one"):
        StageConfig(length=10, **measures)


@pytest.mark.parametrize(
    ("completed", "expected"),
    [(0, [(0, 0), (1, 0)]), (3, [(0, 3), (1, 0)]), (5, [(1, 0)]), (7, [(1, 2)]), (9, [])],
)
def test_resume_finds_the_stage_and_the_steps_done_in_it(completed: int, expected: list[tuple[int, int]]) -> None:
    schedule = plan_stages([StageConfig(length=10, steps=5), StageConfig(length=20, steps=4)], tokens_per_step=100)
    assert [(stage.number, done) for stage, done in schedule.remaining(completed)] == expected
