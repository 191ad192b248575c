"""Training runs that lose a rank: all ranks end in time, one line says which and where, and the run goes on."""

import signal
import socket
import subprocess
import time
from pathlib import Path

import pytest

from hyena_ds.engine.checkpoint_store import PREFIX, list_checkpoints
from hyena_ds.parallel.watch import BEAT_SECONDS
from hyena_ds.training.metrics import read_metrics
from tests.engine.ranks import start_ranks
from tests.training.test_pretrain import PRETRAIN, pretrain, wait_for, wait_until

# 36 windows a step, shared by 1 and by 3 ranks, and more steps than a fast machine does while a test waits.
WORDS = ["batch.tokens_per_step=1152", "stages.0.micro_batch=4", "stages.0.steps=10000", "validation.windows=0"]
Ranks = list[subprocess.Popen[str]]


def begin(config: Path, ranks: int, *words: str) -> Ranks:
    """A run past its first checkpoint, with a beat of it."""
    processes = start_ranks(ranks, PRETRAIN, "--config", config, *WORDS, *words)
    wait_for(config.parent / "run" / "checkpoints" / "step-00000010" / "manifest.json")
    time.sleep(2 * BEAT_SECONDS)
    return processes


def line_of_the_end(processes: Ranks, lost: int, within: float) -> str:
    """The one line about the lost rank; fails unless every process ends in time, the others with code 75."""
    started = time.monotonic()
    wait_until(lambda: all(process.poll() is not None for process in processes), within)
    assert time.monotonic() - started < within
    printed = "".join(process.communicate()[0] for process in processes)
    codes = [process.returncode for process in processes]
    assert codes == [-9 if rank == lost else 75 for rank in range(len(processes))], printed
    (line,) = [line for line in printed.splitlines() if "every rank stops now" in line]
    return line


@pytest.mark.parametrize(("ranks", "lost"), [(2, 0), (2, 1), (3, 1)])
def test_a_killed_rank_ends_the_run_which_then_resumes(config: Path, ranks: int, lost: int) -> None:
    words = [] if ranks == 3 else ["batch.tokens_per_step=1024"]
    processes = begin(config, ranks, *words)
    processes[lost].kill()
    line = line_of_the_end(processes, lost, within=5)
    place = f"rank {lost} on {socket.gethostname()} died while "
    assert line.startswith(place)
    phase = line.removeprefix(place)
    assert phase.startswith(("training step ", "loading data of step ", "saving a checkpoint of step ")), line
    saved = int(list_checkpoints(config.parent / "run" / "checkpoints")[-1].name.removeprefix(PREFIX))
    (printed,) = pretrain(config, *WORDS, *words, "--stop-after-steps", str(saved + 10))
    assert "resuming from" in printed
    assert [line["step"] for line in read_metrics(config.parent / "run")] == list(range(1, saved + 11))


def test_a_frozen_rank_ends_the_run(config: Path) -> None:
    processes = begin(config, 2, "batch.tokens_per_step=1024", "parallel.heartbeat_seconds=2")
    processes[1].send_signal(signal.SIGSTOP)
    assert "rank 1 on" in line_of_the_end(processes, 1, within=2 + 5)
