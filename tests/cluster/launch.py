"""Starts and ends launchers, each in its own process group, so that nothing outlives a test."""

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from tests.engine.ranks import ROOT

PATIENCE_SECONDS = 150
PATH = f"{Path(sys.executable).parent}:{os.environ.get('PATH', '')}:/usr/sbin"


def environment(**variables: str) -> dict[str, str]:
    """That of a user who activated this Python's environment and chose the CPU, one thread a process."""
    chosen = {"DS_ACCELERATOR": "cpu", "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT), "PATH": PATH}
    return os.environ | chosen | variables


def program(name: str) -> str | None:
    """Where a command is that a user could type, or None."""
    return shutil.which(name, path=PATH)


@contextlib.contextmanager
def started(*words: object, **variables: str) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(
        [str(word) for word in words],
        cwd=ROOT,
        env=environment(**variables),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    try:
        yield process
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def finish(process: subprocess.Popen[str]) -> tuple[int, str]:
    """Its exit code and all that it printed."""
    printed, _ = process.communicate(timeout=PATIENCE_SECONDS)
    return process.returncode, printed


def wait_for(path: Path, *processes: subprocess.Popen[str]) -> None:
    end = time.monotonic() + PATIENCE_SECONDS
    while not path.exists():
        ended = [process for process in processes if process.poll() is not None]
        assert not ended, f"ended before {path} came:\n" + "\n".join(finish(process)[1] for process in ended)
        assert time.monotonic() < end, f"{path} never came"
        time.sleep(0.01)
