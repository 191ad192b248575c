"""The long run on chr20: its config keeps what the script promises, and its stages are summed up right."""

from pathlib import Path
from typing import Any

import pytest

from benchmarks.chr20_long import CONTEXTS, stage_ends
from hyena_ds.config.load import load_config
from hyena_ds.training.config import RunConfig
from hyena_ds.training.stages import plan_stages

ROOT = Path(__file__).resolve().parents[2]


def test_the_config_reaches_131072_on_two_billion_tokens_and_validates_at_each_stage_end() -> None:
    config = load_config(ROOT / "benchmarks" / "chr20_long.yaml", RunConfig, [])
    schedule = plan_stages(config.stages, config.batch.tokens_per_step)
    assert schedule.stages[-1].length == CONTEXTS[-1] == 131_072
    assert sum(stage.steps * stage.samples * stage.length for stage in schedule.stages) >= 2.1e9
    assert [stage.last_step % config.validation.every_steps for stage in schedule.stages] == [0] * 5
    assert config.validation.length == CONTEXTS[0]


def step(number: int, stage: int, tokens: int, perplexity: float) -> dict[str, Any]:
    return {
        "step": number,
        "stage": stage,
        "length": 64 << stage,
        "tokens": tokens,
        "loss": 1.0,
        "perplexity": perplexity,
        "tokens_per_second": 50.0,
        "peak_memory_gib": 1.0,
    }


def test_stages_take_the_time_of_their_steps_and_the_last_validation_in_them() -> None:
    lines = [
        step(1, 0, 100, 4.0),
        step(2, 0, 200, 3.0),
        {"step": 2, "validation_perplexity": 3.5},
        step(3, 1, 250, 2.0),
        {"step": 3, "validation_perplexity": 3.25},
    ]
    first, second = stage_ends(lines)
    assert (first["length"], first["steps"], first["tokens"]) == (64, 2, 200)
    assert first["seconds"] == pytest.approx(4.0)
    assert first["training_perplexity"] == pytest.approx(3.5)
    assert first["validation_perplexity"] == 3.5
    assert (second["length"], second["seconds"], second["validation_perplexity"]) == (128, pytest.approx(1.0), 3.25)
