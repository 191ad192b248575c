"""Two hosts on one machine: network namespaces joined by a cable, with one file system."""

import contextlib
import os
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass

from tests.cluster.launch import program

INTERFACE = "eth0"


@dataclass(frozen=True)
class Host:
    """A network namespace; `words` in front of a command run it there."""

    name: str
    address: str

    @property
    def words(self) -> list[str]:
        return ["ip", "netns", "exec", self.name]


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
    _ip("netns", "delete", probe)
    return ""


def _ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True)


@contextlib.contextmanager
def two_hosts() -> Iterator[tuple[Host, Host]]:
    first, second = (Host(f"hyena-{os.getpid()}-{end}", f"10.77.0.{end}") for end in (1, 2))
    try:
        for host in (first, second):
            _ip("netns", "add", host.name)
        cable = ["type", "veth", "peer", "name", INTERFACE, "netns", second.name]
        _ip("link", "add", INTERFACE, "netns", first.name, *cable)
        for host in (first, second):
            _ip("-n", host.name, "address", "add", f"{host.address}/24", "dev", INTERFACE)
            for interface in ("lo", INTERFACE):
                _ip("-n", host.name, "link", "set", interface, "up")
        yield first, second
    finally:
        for host in (first, second):
            subprocess.run(["ip", "netns", "delete", host.name], check=False)
