"""Two hosts on one machine: namespaces of network and processes joined by a cable, with one file system."""

import contextlib
import os
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.cluster.launch import program

INTERFACE = "eth0"


@dataclass(frozen=True)
class Host:
    """A network namespace with a first process `init`; `words` in front of a command run it there."""

    name: str
    address: str
    init: int

    @property
    def words(self) -> list[str]:
        return ["nsenter", f"--target={self.init}", "--net", "--mount", f"--pid=/proc/{self.init}/ns/pid_for_children"]

    def processes(self) -> set[int]:
        """Those that run here, but for the two that keep it."""
        found = subprocess.run(["ip", "netns", "pids", self.name], capture_output=True, text=True, check=True)
        children = Path(f"/proc/{self.init}/task/{self.init}/children").read_text(encoding="ascii")
        return {int(number) for number in found.stdout.split()} - {self.init, *map(int, children.split())}

    @contextlib.contextmanager
    def cut_off(self) -> Iterator[None]:
        """Without its cable."""
        _ip("-n", self.name, "link", "set", INTERFACE, "down")
        try:
            yield
        finally:
            _ip("-n", self.name, "link", "set", INTERFACE, "up")


def missing() -> str:
    """Why there can be no second host here, or nothing."""
    if program("ip") is None:
        return "no ip: apt-get install iproute2"
    if os.geteuid() != 0:
        return "network namespaces need root"
    probe = f"probe-{os.getpid()}"
    made = subprocess.run(["ip", "netns", "add", probe], capture_output=True, text=True, check=False)
    if made.returncode != 0:
        return f"no network namespaces here: {made.stderr.strip()}"
    kept = subprocess.run([*_init_words(probe), "true"], capture_output=True, text=True, check=False)
    _ip("netns", "delete", probe)
    return f"no process namespaces here: {kept.stderr.strip()}" if kept.returncode != 0 else ""


def _ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True)


def _init_words(name: str) -> list[str]:
    # Processes of one namespace may end each other; those of two hosts cannot.
    return ["ip", "netns", "exec", name, "unshare", "--pid", "--fork", "--kill-child", "--mount-proc"]


@contextlib.contextmanager
def _host(name: str, address: str) -> Iterator[Host]:
    _ip("netns", "add", name)
    try:
        words = [*_init_words(name), "sh", "-c", "echo ready; exec sleep infinity"]
        with subprocess.Popen(words, stdout=subprocess.PIPE) as init:
            try:
                assert init.stdout is not None
                assert init.stdout.readline() == b"ready\n"
                yield Host(name, address, init.pid)
            finally:
                init.kill()
    finally:
        _ip("netns", "delete", name)


@contextlib.contextmanager
def two_hosts() -> Iterator[tuple[Host, Host]]:
    names = [f"hyena-{os.getpid()}-{end}" for end in (1, 2)]
    with _host(names[0], "10.77.0.1") as first, _host(names[1], "10.77.0.2") as second:
        cable = ["type", "veth", "peer", "name", INTERFACE, "netns", second.name]
        _ip("link", "add", INTERFACE, "netns", first.name, *cable)
        for host in (first, second):
            _ip("-n", host.name, "address", "add", f"{host.address}/24", "dev", INTERFACE)
            for interface in ("lo", INTERFACE):
                _ip("-n", host.name, "link", "set", interface, "up")
        yield first, second
