"""Real processes that die, freeze, fail and end: the others end with them, or do not, and one line says why."""

import ast
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.engine.ranks import free_port, rank_environment, start_ranks
from tests.parallel.heartbeat_worker import PHASE

WORKER = Path(__file__).with_name("heartbeat_worker.py")
Ranks = list[subprocess.Popen[str]]


@pytest.fixture
def begin(tmp_path: Path) -> Any:
    """Starts ranks and waits until all of them beat; what a failed test leaves is ended."""
    begun: Ranks = []

    def start(ranks: int, seconds: float = 30) -> Ranks:
        begun.extend(start_ranks(ranks, WORKER, tmp_path, seconds))
        wait_until(lambda: all((tmp_path / f"started-{rank}").exists() for rank in range(ranks)))
        time.sleep(1.2)  # a beat with the phase
        return begun

    yield start
    for process in begun:
        process.kill()
        process.wait()
        assert process.stdout is not None
        process.stdout.close()


def wait_until(condition: Callable[[], bool], seconds: float = 30) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.01)


def endings(processes: Ranks, within: float) -> tuple[list[int], str]:
    """Exit codes, and what all printed, of processes that end within so many seconds."""
    wait_until(lambda: all(process.poll() is not None for process in processes), within)
    return [process.returncode for process in processes], "".join(process.communicate()[0] for process in processes)


@pytest.mark.parametrize(("ranks", "lost"), [(2, 0), (2, 1), (3, 1), (4, 0)])
def test_a_killed_rank_ends_all_and_one_line_names_it(begin: Any, ranks: int, lost: int) -> None:
    processes = begin(ranks)
    processes[lost].kill()
    codes, printed = endings(processes, within=5)
    assert codes == [-9 if rank == lost else 75 for rank in range(ranks)]
    assert printed == (
        f"rank {lost} on {socket.gethostname()} died while {PHASE}; every rank stops now, "
        "start the run again: it resumes from its last checkpoint\n"
    )


@pytest.mark.parametrize(("ranks", "lost"), [(2, 0), (3, 1)])
def test_a_frozen_rank_ends_all_and_is_ended(begin: Any, ranks: int, lost: int) -> None:
    processes = begin(ranks, seconds=1.5)
    processes[lost].send_signal(signal.SIGSTOP)
    codes, printed = endings(processes, within=6)
    assert codes == [-9 if rank == lost else 75 for rank in range(ranks)]
    assert printed.count("\n") == 1
    assert f"rank {lost} on {socket.gethostname()} stopped answering for 1.5 s while {PHASE};" in printed


def test_a_pause_of_all_ranks_loses_none(begin: Any, tmp_path: Path) -> None:
    processes = begin(3, seconds=1.5)
    for sent in (signal.SIGSTOP, signal.SIGCONT):
        for process in processes:
            process.send_signal(sent)
        time.sleep(2.5)
    (tmp_path / "end").write_text("done")
    assert endings(processes, within=5) == ([0, 0, 0], "")


def test_a_short_freeze_is_forgiven(begin: Any, tmp_path: Path) -> None:
    processes = begin(2, seconds=3)
    processes[1].send_signal(signal.SIGSTOP)
    time.sleep(1.5)
    processes[1].send_signal(signal.SIGCONT)
    (tmp_path / "end").write_text("done")
    assert endings(processes, within=5) == ([0, 0], "")


@pytest.mark.parametrize("first", [0, 1])
def test_a_rank_that_is_done_leaves_the_others_alone(begin: Any, tmp_path: Path, first: int) -> None:
    processes = begin(3, seconds=1.5)
    (tmp_path / f"end-{first}").write_text("done")
    processes[first].wait(timeout=5)
    time.sleep(2)
    (tmp_path / "end").write_text("done")
    assert endings(processes, within=5) == ([0, 0, 0], "")


def test_an_error_of_every_rank_is_told_once_by_rank_0(begin: Any, tmp_path: Path) -> None:
    processes = begin(3)
    (tmp_path / "end").write_text("alike")
    assert endings(processes, within=5) == ([2, 2, 2], "error: the config is wrong; mend it\n")


@pytest.mark.parametrize("failed", [0, 1])
@pytest.mark.parametrize(("word", "code", "told"), [("input", 2, "a shard is damaged"), ("bug", 1, "ValueError")])
def test_an_error_of_one_rank_ends_all_with_its_code(
    begin: Any, tmp_path: Path, failed: int, word: str, code: int, told: str
) -> None:
    processes = begin(3)
    (tmp_path / f"end-{failed}").write_text(word)
    codes, printed = endings(processes, within=5)
    assert codes == [code] * 3
    assert told in printed
    line = f"rank {failed} on {socket.gethostname()} failed while {PHASE}; every rank stops now, its own message says"
    assert printed.count(line) == 1


def test_a_collective_that_fails_by_a_death_is_told_as_the_death(begin: Any, tmp_path: Path) -> None:
    processes = begin(3)
    processes[2].send_signal(signal.SIGSTOP)
    (tmp_path / "end-0").write_text("collective")
    time.sleep(1)  # rank 0's collective fails a second before the connection tells
    processes[2].kill()
    codes, printed = endings(processes, within=5)
    assert codes == [75, 75, -9]
    assert printed.startswith("rank 2 on ")
    assert printed.count("\n") == 1


@pytest.mark.parametrize("failed", [0, 1])
def test_a_collective_that_fails_by_a_freeze_is_told_as_the_freeze(begin: Any, tmp_path: Path, failed: int) -> None:
    processes = begin(3, seconds=6)
    processes[2].send_signal(signal.SIGSTOP)
    (tmp_path / f"end-{failed}").write_text("collective")
    codes, printed = endings(processes, within=10)
    assert codes == [75, 75, -9]
    assert printed.startswith(f"rank 2 on {socket.gethostname()} stopped answering for 6 s while {PHASE};")
    assert printed.count("\n") == 1


def test_all_frozen_ranks_are_ended_and_counted(begin: Any) -> None:
    processes = begin(4, seconds=1.5)
    for lost in (1, 2):
        processes[lost].send_signal(signal.SIGSTOP)
    codes, printed = endings(processes, within=6)
    assert codes == [75, -9, -9, 75]
    assert printed.count("\n") == 1
    assert " and 1 more stopped answering for 1.5 s while " in printed


def test_strangers_and_noise_change_nothing(begin: Any, tmp_path: Path) -> None:
    processes = begin(2)
    port, token, place = ast.literal_eval((tmp_path / "shared").read_text())
    for noise in (
        b"",
        b"GET / HTTP/1.1\r\n\r\n",
        b"x" * 100_000,
        b'{"token": "guessed", "rank": 1, "process": ["h", "m", 1]}\n{"left": 2}\n',
        b'{"token": "%s", "rank": 1, "process": ["h", "m", 1]}\n{"left": 2}\n' % token.encode(),  # rank 1 is here
        b'{"token": "%s", "rank": 7, "process": ["h", "m", 1]}\n{"left": 2}\n' % token.encode(),
        b'{"left": 2}\n[[[[\n"\n{"rank": {}}\n',
    ):
        with socket.create_connection(("127.0.0.1", port), timeout=5) as stranger:
            stranger.sendall(noise)
            time.sleep(0.1)
    assert place[2] == processes[0].pid
    time.sleep(0.5)
    assert [process.poll() for process in processes] == [None, None]
    (tmp_path / "end").write_text("done")
    assert endings(processes, within=5) == ([0, 0], "")


def test_a_stranger_takes_no_place_that_is_still_free(tmp_path: Path) -> None:
    first = _one_rank(0, tmp_path)
    wait_until((tmp_path / "shared").exists)
    port, _, _ = ast.literal_eval((tmp_path / "shared").read_text())
    with socket.create_connection(("127.0.0.1", port), timeout=5) as stranger:
        stranger.sendall(b'{"token": "guessed", "rank": 1, "process": ["h", "m", 1]}\n{"left": 2}\n')
        time.sleep(0.5)
    second = _one_rank(1, tmp_path)
    wait_until((tmp_path / "started-1").exists)
    (tmp_path / "end").write_text("done")
    assert endings([first, second], within=10) == ([0, 0], "")


def _one_rank(rank: int, directory: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, str(WORKER), str(directory), "30"],
        env=rank_environment(rank, 2, free_port()),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def test_the_listener_stays_on_the_interface_of_the_master_address(begin: Any, tmp_path: Path) -> None:
    begin(2)
    port, _, _ = ast.literal_eval((tmp_path / "shared").read_text())
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.2", port), timeout=5)


def test_one_process_has_no_heartbeat(tmp_path: Path) -> None:
    (tmp_path / "end").write_text("done")
    (process,) = start_ranks(1, WORKER, tmp_path, 1)
    assert endings([process], within=20) == ([0], "")
    assert not (tmp_path / "shared").exists()
