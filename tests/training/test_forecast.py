"""The forecast of memory against what was measured on GPUs, and the advice that follows from it."""

import json
from pathlib import Path
from typing import Any

import pytest

from benchmarks.long_context import config_for
from hyena_ds.config.load import load_config
from hyena_ds.model.config import ModelConfig
from hyena_ds.parallel.dimensions import ParallelDimensions
from hyena_ds.training.advice import advise, fits, forecast_run
from hyena_ds.training.config import RunConfig
from hyena_ds.training.forecast import parameter_count, step_memory

ROOT = Path(__file__).resolve().parents[2]


def _name(row: dict[str, Any]) -> str:
    return f"{row['ranks']} GPUs, {row['batch']} x {row['length']} {' '.join(row['overrides'])}"


MEASURED = [
    row
    for path in sorted((ROOT / "benchmarks" / "results").glob("long_context_*.json"))
    for row in json.loads(path.read_text(encoding="utf-8"))["rows"]
]


@pytest.mark.parametrize(
    "row", MEASURED, ids=lambda row: f"{row['ranks']}x{row['batch']}x{row['length']}{row['overrides']}"
)
def test_memory_is_told_within_a_tenth(row: dict[str, Any]) -> None:
    ranks = row["sequence_parallel_size"]
    config = config_for(row["length"], row["batch"], ranks, row["overrides"])
    parts = step_memory(
        config.model, config.engine, batch=row["batch"], length=row["length"], ranks=ranks, world_size=row["ranks"]
    )
    assert sum(parts.values()) / 2**30 == pytest.approx(row["peak_gib"], rel=0.1)


def test_enough_was_measured() -> None:
    assert len({(row["ranks"], row["length"]) for row in MEASURED}) >= 6


def test_parameters_are_counted_without_making_them() -> None:
    assert parameter_count(ModelConfig(d_model=256, n_layer=8, l_max=1_000_002)) == 6_550_528


@pytest.mark.parametrize(("memory", "micro_batch"), [(20e9, 1), (12e9, 1), (30e9, 64)])
def test_what_is_advised_fits(memory: float, micro_batch: int) -> None:
    words = [f"stages.0.micro_batch={micro_batch}", "engine.activation_checkpointing=none"]
    config = load_config(ROOT / "configs" / "160k.yaml", RunConfig, words)
    dimensions = ParallelDimensions(4)
    too_large = [forecast for forecast in forecast_run(config, dimensions, "h100") if not fits(forecast, memory)]
    assert too_large
    for forecast in too_large:
        advice = advise(config, dimensions, forecast.stage, memory)
        changed = load_config(ROOT / "configs" / "160k.yaml", RunConfig, [*words, *advice.split()])
        spread = ParallelDimensions(4, changed.parallel.sequence_parallel_size)
        assert fits(forecast_run(changed, spread, "h100")[forecast.stage.number], memory), advice


def test_where_nothing_helps_the_advice_says_so() -> None:
    config = load_config(ROOT / "configs" / "1m.yaml", RunConfig)
    forecast = forecast_run(config, ParallelDimensions(1), "h100")[-1]
    assert "no setting helps" in advise(config, ParallelDimensions(1), forecast.stage, 1e9)


def test_sequence_parallelism_shares_the_memory_and_the_time() -> None:
    config = load_config(ROOT / "configs" / "1m.yaml", RunConfig)
    one, four = (forecast_run(config, ParallelDimensions(4, size), "h200")[-1] for size in (1, 4))
    assert four.peak_bytes < one.peak_bytes / 2.3
    assert four.flops == one.flops
