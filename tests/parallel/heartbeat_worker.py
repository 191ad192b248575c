"""One rank of test_heartbeat.py: beats until its file says how to end.

`python heartbeat_worker.py DIRECTORY SECONDS`; the word in DIRECTORY/end or DIRECTORY/end-RANK tells how.
"""

import ast
import os
import sys
import time
from pathlib import Path
from typing import Any

from hyena_ds.errors import InputError, run_command
from hyena_ds.parallel.environment import ProcessEnvironment, read_environment
from hyena_ds.parallel.heartbeat import Heartbeat

PHASE = "training step 12"


def share_in(directory: Path) -> Any:
    """Rank 0's value, through a file."""
    path = directory / "shared"

    def share(value: Any) -> Any:
        if value is not None:
            path.with_suffix(".partial").write_text(repr(value))
            path.with_suffix(".partial").rename(path)
        while not path.exists():
            time.sleep(0.01)
        return ast.literal_eval(path.read_text())

    return share


def end(directory: Path, environment: ProcessEnvironment) -> int:
    """Waits for the word, and ends by it."""
    places = [directory / "end", directory / f"end-{environment.rank}"]
    while not (told := [path for path in places if path.exists()]):
        time.sleep(0.01)
    match told[0].read_text():
        case "input":
            error = InputError("a shard is damaged; restore it")
            error.rank = environment.rank
            raise error
        case "alike":
            raise InputError("the config is wrong; mend it")
        case "bug":
            raise ValueError("a bug")
        case "collective":
            raise RuntimeError("connection closed by peer")
    return 0


def main() -> int:
    directory, seconds = Path(sys.argv[1]), float(sys.argv[2])
    environment = read_environment()
    with Heartbeat(environment, seconds, share_in(directory)) as heartbeat:
        heartbeat.phase = PHASE
        (directory / f"started-{environment.rank}").write_text(str(os.getpid()))
        return end(directory, environment)


if __name__ == "__main__":
    run_command(main, speaks=read_environment().is_main)
