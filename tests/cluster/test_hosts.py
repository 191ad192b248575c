"""Two hosts, joined by a network alone, with the launchers that start one command on each."""

import contextlib
import json
import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cluster.conftest import PRETRAIN, STEPS, Trace, manifest, trace
from tests.cluster.launch import finish, started, wait_for
from tests.cluster.network import INTERFACE, Host

pytestmark = pytest.mark.cluster

PORT = "29517"  # free: the hosts are new
Hosts = tuple[Host, Host]
Processes = list[subprocess.Popen[str]]

DEEPSPEED = ["deepspeed", "--hostfile", "{hostfile}", "--no_ssh", "--node_rank", "{node}"]
TORCHRUN = ["torchrun", "--nnodes", "2", "--nproc-per-node", "1", "--node-rank", "{node}"]
ADDRESS = {"deepspeed": ["--master_addr", "{address}", "--master_port", PORT]}
ADDRESS["torchrun"] = [word.replace("_", "-") for word in ADDRESS["deepspeed"]]


@contextlib.contextmanager
def on_both(hosts: Hosts, launcher: list[str], config: Path) -> Iterator[Processes]:
    """The same command on each host."""
    hostfile = config.parent / "hostfile"
    hostfile.write_text("".join(f"{host.address} slots=1\n" for host in hosts), encoding="utf-8")
    words = [*launcher, *ADDRESS[launcher[0]], str(PRETRAIN), "--config", str(config)]
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
