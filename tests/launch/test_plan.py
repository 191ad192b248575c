"""`python launch/plan.py` as users type it."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def plan(*words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "launch/plan.py", "--config", "configs/1m.yaml", *words]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


def test_every_stage_has_its_line_and_the_one_that_is_too_large_its_remedy() -> None:
    done = plan("--gpus", "8", "--gpu-memory", "16")
    assert done.returncode == 0, done.stderr
    assert "6,550,528 parameters" in done.stdout
    assert done.stdout.count(" fits") >= 9
    assert "DOES NOT FIT" in done.stdout
    assert "stage 9 needs" in done.stdout
    assert "kept by the layers" in done.stdout


def test_degrees_that_do_not_fit_are_one_line() -> None:
    done = plan("--gpus", "8", "parallel.sequence_parallel_size=3")
    assert done.returncode == 2
    assert "does not divide the 8 ranks" in done.stderr.splitlines()[-1]
