"""Starts real ranks: one process each, gloo, the real DeepSpeed engine."""

import os
import socket
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PATIENCE_SECONDS = 300


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def rank_environment(rank: int, world_size: int, port: int) -> dict[str, str]:
    return os.environ | {
        "RANK": str(rank),
        "WORLD_SIZE": str(world_size),
        "LOCAL_RANK": str(rank),
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(port),
        "OMP_NUM_THREADS": "1",
        "DS_ACCELERATOR": "cpu",
        "PYTHONPATH": str(ROOT),
    }


def start_ranks(world_size: int, *words: object) -> list[subprocess.Popen[str]]:
    """`python WORDS` on every rank."""
    port = free_port()
    return [
        subprocess.Popen(
            [sys.executable, *map(str, words)],
            cwd=ROOT,
            env=rank_environment(rank, world_size, port),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for rank in range(world_size)
    ]


def run_ranks(world_size: int, *words: object, code: int = 0) -> list[str]:
    """Run to the end; returns what each rank printed, and fails unless every rank exits with `code`."""
    processes = start_ranks(world_size, *words)
    printed = [process.communicate(timeout=PATIENCE_SECONDS)[0] for process in processes]
    codes = [process.returncode for process in processes]
    assert codes == [code] * world_size, f"exit codes {codes}:\n" + "\n".join(text[-3000:] for text in printed)
    return printed
