"""Whole runs through launch/pretrain.py: the trace never depends on ranks, stages, stops or kills."""

import itertools
import json
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from hyena_ds.training.metrics import read_metrics
from tests.engine.ranks import ROOT, run_ranks, start_ranks
from tests.training.conftest import CONFIG

PRETRAIN = ROOT / "launch" / "pretrain.py"
STEPS = 40
TOLERANCE = 1e-5


def pretrain(config: Path, *words: str, ranks: int = 1, code: int = 0) -> list[str]:
    return run_ranks(ranks, PRETRAIN, "--config", config, *words, code=code)


def trace(config: Path) -> list[tuple[int, int, float, float]]:
    lines = [line for line in read_metrics(config.parent / "run") if "loss" in line]
    assert [line["step"] for line in lines] == list(range(1, len(lines) + 1))
    return [(line["length"], line["tokens"], line["loss"], line["grad_norm"]) for line in lines]


def scores(config: Path) -> list[float]:
    lines = read_metrics(config.parent / "run")
    return [line["validation_perplexity"] for line in lines if "validation_perplexity" in line]


def assert_close(found: list[Any], expected: list[Any]) -> None:
    assert len(found) == len(expected)
    for one, other in zip(found, expected, strict=True):
        assert one == pytest.approx(other, rel=TOLERANCE)


@pytest.fixture(scope="session")
def uninterrupted(tmp_path_factory: pytest.TempPathFactory, shards: Path) -> dict[str, Any]:
    directory = tmp_path_factory.mktemp("uninterrupted")
    path = directory / "config.yaml"
    path.write_text(CONFIG.format(run=directory / "run", data=shards), encoding="utf-8")
    (printed,) = pretrain(path)
    return {"trace": trace(path), "scores": scores(path), "printed": printed, "directory": directory / "run"}


def test_a_run_leaves_what_the_design_names(uninterrupted: dict[str, Any]) -> None:
    directory = uninterrupted["directory"]
    assert [entry[0] for entry in uninterrupted["trace"]] == [32] * 14 + [64] * 14 + [128] * 12
    assert len(uninterrupted["scores"]) == 2
    tokens = [0, *(entry[1] for entry in uninterrupted["trace"])]
    steps = [later - earlier for earlier, later in itertools.pairwise(tokens)]
    assert max(steps) == 1024
    assert min(steps) > 1024 - 128  # a step holds at most one short window
    assert yaml.safe_load((directory / "config.yaml").read_text())["optimizer"]["epsilon"] == 1e-8
    assert sorted(path.name for path in (directory / "checkpoints").iterdir()) == ["step-00000030", "step-00000040"]
    cursor = json.loads((directory / "checkpoints" / "step-00000030" / "state.json").read_text())["progress"]["cursor"]
    assert cursor == {"stage": 2, "epoch": 0, "sample": 2 * 8}
    assert "launch/export.py" in uninterrupted["printed"]


@pytest.mark.parametrize("stage", [0, 1, 2, 3])
def test_two_ranks_trace_what_one_rank_traces(config: Path, uninterrupted: dict[str, Any], stage: int) -> None:
    pretrain(config, f"engine.zero_stage={stage}", ranks=2)
    assert_close(trace(config), uninterrupted["trace"])
    assert_close(scores(config), uninterrupted["scores"])


def wait_until(condition: Callable[[], object], seconds: float = 120) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.002)


def wait_for(path: Path) -> None:
    wait_until(path.exists)


def kill(processes: list[subprocess.Popen[str]]) -> None:
    for process in processes:
        os.kill(process.pid, signal.SIGKILL)
    for process in processes:
        process.communicate()


@pytest.mark.parametrize("stage", [0, 3])
def test_killed_and_resumed_equals_uninterrupted_bit_for_bit(
    config: Path, uninterrupted: dict[str, Any], stage: int
) -> None:
    pretrain(config, f"engine.zero_stage={stage}", ranks=2)
    whole = trace(config)
    shutil.rmtree(config.parent / "run")
    processes = start_ranks(2, PRETRAIN, "--config", config, f"engine.zero_stage={stage}")
    wait_for(config.parent / "run" / "checkpoints" / "step-00000020" / "manifest.json")
    kill(processes)
    (printed, _) = pretrain(config, f"engine.zero_stage={stage}", ranks=2)
    assert "resuming from" in printed
    assert trace(config) == whole


def test_killed_inside_a_save_equals_uninterrupted(config: Path, uninterrupted: dict[str, Any]) -> None:
    (process,) = start_ranks(1, PRETRAIN, "--config", config)
    wait_for(config.parent / "run" / "checkpoints" / ".partial-00000020")
    os.kill(process.pid, signal.SIGKILL)
    process.communicate()
    pretrain(config)
    assert trace(config) == uninterrupted["trace"]


def spread(zero_stage: int, sequence: int) -> list[str]:
    return [f"engine.zero_stage={zero_stage}", f"parallel.sequence_parallel_size={sequence}"]


@pytest.mark.parametrize("checkpointing", ["none", "block"])
def test_two_ranks_of_one_sequence_trace_what_one_rank_traces(
    config: Path, uninterrupted: dict[str, Any], checkpointing: str
) -> None:
    pretrain(config, *spread(1, 2), f"engine.activation_checkpointing={checkpointing}", ranks=2)
    assert_close(trace(config), uninterrupted["trace"])
    assert_close(scores(config), uninterrupted["scores"])


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ((2, 3, 1), (1, 1, 1)),
        ((2, 1, 1), (1, 1, 1)),
        ((2, 2, 2), (4, 2, 2)),
        ((4, 3, 2), (2, 0, 1)),
    ],
    ids=str,
)
def test_killed_inside_a_stage_a_run_goes_on_spread_otherwise(
    config: Path, uninterrupted: dict[str, Any], before: tuple[int, int, int], after: tuple[int, int, int]
) -> None:
    """(ranks, ZeRO stage, sequence-parallel size) before and after."""
    processes = start_ranks(before[0], PRETRAIN, "--config", config, *spread(*before[1:]))
    wait_for(config.parent / "run" / "checkpoints" / "step-00000020" / "manifest.json")
    kill(processes)
    printed = pretrain(config, *spread(*after[1:]), ranks=after[0])
    assert "resuming from" in printed[0]
    assert_close(trace(config), uninterrupted["trace"])
    assert_close(scores(config), uninterrupted["scores"])


def test_a_signal_saves_the_last_step_and_asks_for_a_restart(config: Path, uninterrupted: dict[str, Any]) -> None:
    processes = start_ranks(2, PRETRAIN, "--config", config)
    wait_for(config.parent / "run" / "checkpoints" / "step-00000010" / "manifest.json")
    os.kill(processes[1].pid, signal.SIGUSR1)
    printed = [process.communicate(timeout=120)[0] for process in processes]
    assert [process.returncode for process in processes] == [75, 75], printed
    marker = json.loads((config.parent / "run" / "stopped.json").read_text())
    assert len(trace(config)) == marker["step"]
    pretrain(config, ranks=2)
    assert not (config.parent / "run" / "stopped.json").exists()
    assert_close(trace(config), uninterrupted["trace"])


def test_a_signal_inside_a_step_drops_it_and_the_trace_stays_bit_for_bit(config: Path) -> None:
    words = ["batch.tokens_per_step=2048", "engine.zero_stage=3", "validation.windows=0", "checkpoint.every_steps=100"]
    words += [f"stages.{stage}.{value}" for stage in range(3) for value in ("micro_batch=1", "steps=1")]
    pretrain(config, *words, ranks=2)
    whole = trace(config)
    shutil.rmtree(config.parent / "run")
    processes = start_ranks(2, PRETRAIN, "--config", config, *words)
    wait_until(lambda: len(read_metrics(config.parent / "run")) == 1)  # step 2 is 16 micro-batches on each rank
    os.kill(processes[1].pid, signal.SIGTERM)
    printed = [process.communicate(timeout=120)[0] for process in processes]
    assert [process.returncode for process in processes] == [75, 75], printed
    assert json.loads((config.parent / "run" / "stopped.json").read_text())["step"] == 1
    assert len(trace(config)) == 1
    pretrain(config, *words, ranks=2)
    assert trace(config) == whole


def test_gradients_that_stay_infinite_stop_the_run_and_name_the_last_checkpoint(config: Path) -> None:
    words = ["optimizer.max_skipped_steps=4", "checkpoint.every_steps=2"]
    pretrain(config, "--stop-after-steps", "6", *words)
    line = _last_line(pretrain(config, "optimizer.learning_rate=1e38", *words, code=2))
    assert "4 steps in a row, up to step 11, had gradients that are not finite" in line
    assert "step-00000006: lower optimizer.learning_rate" in line
    metrics = [line["skipped_steps"] for line in read_metrics(config.parent / "run")]
    assert metrics == [0] * 7 + [1, 2, 3, 4]


def _last_line(printed: list[str]) -> str:
    lines = [line for text in printed for line in text.splitlines() if line.startswith("error:")]
    assert len(lines) == 1, printed
    return lines[0]


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["model.d_modle=8"], ["unknown key model.d_modle", "d_model"]),
        (["stages.2.length=500"], ["stages.2.length=500", "l_max=130"]),
        (["batch.tokens_per_step=896"], ["7 samples", "data-parallel size 2", "1, 7"]),
        (["engine.zero_stage=7"], ["engine.zero_stage=7"]),
        (["data.directory=/nowhere"], ["/nowhere", "preprocessing.shard"]),
        (["data.species_weights={martian: 1.0}"], ["martian", "lambda_virus"]),
        (["run_directory=pyproject.toml"], ["pyproject.toml is a file"]),
        (["parallel.sequence_parallel_size=4"], ["sequence_parallel_size=4", "2 ranks", "1, 2"]),
        (["parallel.sequence_parallel_size=2", "model.d_model=15"], ["model.d_model=15", "15 = 7 · 2 + 1"]),
        (["parallel.sequence_parallel_size=2", "stages.1.length=65"], ["stages.1.length=65"]),
    ],
)
def test_bad_input_is_one_line_and_exit_code_2(config: Path, words: list[str], told: list[str]) -> None:
    line = _last_line(pretrain(config, *words, ranks=2, code=2))
    assert all(part in line for part in told), line
    assert not (config.parent / "run").exists()


def test_a_checkpoint_of_another_model_is_refused(config: Path) -> None:
    pretrain(config, "--stop-after-steps", "1")
    line = _last_line(pretrain(config, "model.d_model=24", code=2))
    assert "another model" in line
    assert "model.d_model is 16" in line
    assert "filter_shift is 0.05" in _last_line(pretrain(config, "model.filter_shift=0.0", code=2))


def test_a_change_of_what_is_trained_is_told_at_resume(config: Path) -> None:
    pretrain(config, "--stop-after-steps", "1")
    (printed,) = pretrain(config, "seed=8", "optimizer.weight_decay=0.0", "--stop-after-steps", "2")
    assert "seed was 7 before the checkpoint and is 8 from here on" in printed
    assert "optimizer.weight_decay was 0.1 before the checkpoint and is 0.0 from here on" in printed
    (printed,) = pretrain(config, "seed=8", "optimizer.weight_decay=0.0", "--stop-after-steps", "3")
    assert "from here on" not in printed


def test_a_damaged_checkpoint_is_passed_over_for_the_one_before(config: Path, uninterrupted: dict[str, Any]) -> None:
    pretrain(config, "--stop-after-steps", "20")
    newest = config.parent / "run" / "checkpoints" / "step-00000020"
    damaged = next(newest.glob("exp_avg_sq-*"))
    content = bytearray(damaged.read_bytes())
    content[-1] ^= 1
    damaged.write_bytes(content)
    (printed,) = pretrain(config)
    assert f"{newest} is passed over: {damaged.name} does not match" in printed
    assert "step-00000010" in printed
    assert trace(config) == uninterrupted["trace"]


@pytest.mark.parametrize("ranks", [1, 2])
def test_a_flipped_byte_in_a_shard_names_shard_and_record(
    config: Path, shards: Path, tmp_path: Path, ranks: int
) -> None:
    copy = tmp_path / "shards"
    shutil.copytree(shards, copy)
    shard = copy / "shard-000000.tar"
    content = bytearray(shard.read_bytes())
    content[5000] ^= 1
    shard.write_bytes(content)
    line = _last_line(pretrain(config, f"data.directory={copy}", ranks=ranks, code=2))
    assert "shard-000000.tar" in line
    assert "record 000000000" in line


def test_a_preflight_measures_every_stage_and_changes_nothing(config: Path, uninterrupted: dict[str, Any]) -> None:
    (printed,) = pretrain(config, "--preflight", "--stop-after-steps", "2")
    assert all(f"stage {stage}, {length}:" in printed for stage, length in ((0, 32), (1, 64), (2, 128)))
    assert trace(config) == uninterrupted["trace"][:2]


def test_a_dry_run_checks_and_writes_nothing(config: Path) -> None:
    (printed,) = pretrain(config, "--dry-run")
    assert "every check passed" in printed
    assert not (config.parent / "run").exists()
