"""Two hosts, joined by a network alone, with the launchers that start one command on each."""

import contextlib
import json
import os
import re
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from hyena_ds.engine.checkpoint_store import newest_checkpoint
from hyena_ds.errors import EXIT_RESTART
from tests.cluster.conftest import PRETRAIN, STEPS, Trace, manifest, trace
from tests.cluster.launch import finish, started, wait_for
from tests.cluster.network import INTERFACE, Host

pytestmark = pytest.mark.cluster

PORT = "29517"  # free: the hosts are new
Hosts = tuple[Host, Host]
Processes = list[subprocess.Popen[str]]

DEEPSPEED = ["deepspeed", "--hostfile", "{hostfile}", "--no_ssh", "--node_rank", "{node}"]
DEEPSPEED += ["--master_addr", "{address}", "--master_port", PORT]
TORCHRUN = ["torchrun", "--nnodes", "2", "--nproc-per-node", "1", "--node-rank", "{node}"]
TORCHRUN += ["--master-addr", "{address}", "--master-port", PORT]
BARE = ["env", "RANK={node}", "WORLD_SIZE=2", "LOCAL_RANK=0", "LOCAL_WORLD_SIZE=1"]
BARE += ["MASTER_ADDR={address}", f"MASTER_PORT={PORT}", "python"]
PHASE = "(training step|loading data of step|validating after step|saving a checkpoint of step) [0-9]+"


@contextlib.contextmanager
def on_both(hosts: Hosts, launcher: list[str], config: Path, *overrides: str) -> Iterator[Processes]:
    """The same command on each host."""
    hostfile = config.parent / "hostfile"
    hostfile.write_text("".join(f"{host.address} slots=1\n" for host in hosts), encoding="utf-8")
    words = [*launcher, str(PRETRAIN), "--config", str(config), *overrides]
    with contextlib.ExitStack() as stack:
        yield [
            stack.enter_context(
                started(
                    *host.words,
                    *(word.format(hostfile=hostfile, node=node, address=hosts[0].address) for word in words),
                    GLOO_SOCKET_IFNAME=INTERFACE,
                )
            )
            for node, host in enumerate(hosts)
        ]


def ends(processes: Processes) -> list[int]:
    codes, printed = zip(*(finish(process) for process in processes), strict=True)
    print("\n".join(printed))
    return list(codes)


@pytest.mark.parametrize(("launcher", "node"), [(DEEPSPEED, 0), (TORCHRUN, 1)], ids=["deepspeed", "torchrun"])
def test_a_signal_on_one_host_saves_and_the_same_command_goes_on(
    hosts: Hosts, config: Path, uninterrupted: Trace, launcher: list[str], node: int
) -> None:
    with on_both(hosts, launcher, config) as processes:
        wait_for(manifest(config, 30), *processes)
        os.killpg(processes[node].pid, signal.SIGTERM)  # the deepspeed command does not pass it on
        assert 0 not in ends(processes)
    marker = json.loads((config.parent / "run" / "stopped.json").read_text())
    assert 30 <= marker["step"] == len(trace(config)) < STEPS
    with on_both(hosts, launcher, config) as processes:
        assert ends(processes) == [0, 0]
    assert not (config.parent / "run" / "stopped.json").exists()
    assert trace(config) == uninterrupted


def assert_one_line_names(lost: int, printed: str) -> None:
    (line,) = [line for line in printed.splitlines() if "every rank stops now" in line]
    assert re.match(rf"rank {lost} on \S+ stopped answering for \d+ s while {PHASE};", line), line


@pytest.mark.parametrize(
    ("launcher", "node", "overrides", "code"),
    [(BARE, 0, [], EXIT_RESTART), (TORCHRUN, 1, ["parallel.heartbeat_seconds=5"], 1)],
    ids=["default", "torchrun"],
)
def test_a_host_that_is_cut_off_ends_both_sides_and_the_same_command_goes_on(
    hosts: Hosts, config: Path, uninterrupted: Trace, launcher: list[str], node: int, overrides: list[str], code: int
) -> None:
    with on_both(hosts, launcher, config, *overrides) as processes:
        wait_for(manifest(config, 30), *processes)
        with hosts[node].cut_off():
            began = time.monotonic()
            codes, printed = zip(*(finish(process) for process in processes), strict=True)
            assert time.monotonic() - began < 60
        assert codes == (code, code), "\n".join(printed)
        for lost, told in zip((1, 0), printed, strict=True):
            assert_one_line_names(lost, told)
        assert [host.processes() for host in hosts] == [set(), set()]
    newest, passed_over = newest_checkpoint(config.parent / "run" / "checkpoints")
    assert newest is not None
    assert not passed_over
    with on_both(hosts, launcher, config, *overrides) as processes:
        codes, printed = zip(*(finish(process) for process in processes), strict=True)
    assert codes == (0, 0), "\n".join(printed)
    assert f"resuming from {newest}" in printed[0]
    assert trace(config) == uninterrupted
