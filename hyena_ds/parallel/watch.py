"""The thread of the heartbeat: sends this rank's phase, hears those of others, and ends the process at a loss."""

import os
import secrets
import selectors
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import astuple, dataclass
from pathlib import Path
from typing import Any, Self

from hyena_ds.errors import EXIT_RESTART
from hyena_ds.parallel.line_socket import LineSocket

BEAT_SECONDS, POLL_SECONDS, LONGEST_POLL, FAREWELL_SECONDS = 0.25, 0.1, 0.5, 1.0
QUIET_SECONDS = 4 * BEAT_SECONDS
LONGEST_PHASE = 200
RESTART = "start the run again: it resumes from its last checkpoint"


@dataclass(frozen=True)
class Process:
    """A process on a host; `machine` is the boot and the process namespace in which its number means anything."""

    host: str
    machine: str
    number: int

    @classmethod
    def own(cls) -> Self:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
        return cls(socket.gethostname(), f"{boot} {os.readlink('/proc/self/ns/pid')}", os.getpid())

    @classmethod
    def from_json(cls, values: Sequence[Any]) -> Self:
        host, machine, number = values
        return cls(str(host), str(machine), int(number))

    def to_json(self) -> list[Any]:
        return list(astuple(self))

    def kill(self) -> None:
        """End it where it runs on this machine: a frozen process cannot end itself."""
        if self.machine == Process.own().machine and self.number > 1:
            with suppress(ProcessLookupError, PermissionError):
                os.kill(self.number, signal.SIGKILL)


@dataclass(eq=False)
class Peer:
    """What this rank knows of another; `heard` is in seconds awake, `misses` how long another is silent to it."""

    rank: int
    process: Process | None = None
    channel: LineSocket | None = None
    phase: str = "starting"
    heard: float = 0.0
    misses: float = 0.0

    def __str__(self) -> str:
        return f"rank {self.rank}" + (f" on {self.process.host}" if self.process else "")


class Watch(threading.Thread):
    """Rank 0 watches all ranks through its `listener`, each other rank watches rank 0.

    Args:
        phase: what this rank is doing now.
        seconds: of silence after which a peer is lost.
        token: what a rank must present to `listener`.
        speaks: whether this rank prints the line about a lost peer.
    """

    def __init__(
        self,
        phase: Callable[[], str],
        seconds: float,
        peers: Sequence[Peer],
        *,
        listener: socket.socket | None = None,
        token: str = "",
        speaks: bool = True,
    ) -> None:
        super().__init__(name="heartbeat", daemon=True)
        self._phase, self._seconds, self._token, self._speaks = phase, seconds, token, speaks
        self._peers = {peer.rank: peer for peer in peers}
        self._listener = listener
        self._farewell: int | None = None
        self._awake, self._looked, self._beaten = 0.0, time.monotonic(), -BEAT_SECONDS
        self._strangers: dict[LineSocket, float] = {}
        self._most_strangers = len(peers) + 16
        self._selector = selectors.DefaultSelector()
        if listener is not None:
            listener.setblocking(False)
            self._selector.register(listener, selectors.EVENT_READ)
        for peer in peers:
            if peer.channel is not None:
                self._selector.register(peer.channel, selectors.EVENT_READ, peer)

    def say_goodbye(self, code: int) -> None:
        """Tell the others that this rank leaves; `code` is 0 unless it alone has failed."""
        self._farewell = code
        self.join()

    def await_verdict(self, seconds: float) -> None:
        """Wait for this thread to end the process at a loss; beyond `seconds` while some rank is quiet anywhere."""
        self.join(seconds)
        while self.is_alive() and max(self._longest_silence(), self._longest_missed()) > QUIET_SECONDS:
            self.join(POLL_SECONDS)

    def run(self) -> None:
        while self._farewell is None and self._peers:
            self._count_seconds()
            self._beat()
            self._listen(POLL_SECONDS)
            self._find_silent()
        self._tell({"left": self._farewell or 0})
        for channel in self._channels():
            channel.close()
        if self._listener is not None:
            self._listener.close()
        self._selector.close()

    def _count_seconds(self) -> None:
        """Count the time in which this thread ran: a pause of its own, such as a debugger's, is nobody's silence."""
        now = time.monotonic()
        self._awake += min(now - self._looked, LONGEST_POLL)
        self._looked = now

    def _beat(self) -> None:
        if self._awake - self._beaten < min(BEAT_SECONDS, self._seconds / 6):
            return
        self._beaten = self._awake
        for peer in self._peers.values():
            if peer.channel is not None:
                peer.channel.send(phase=self._phase(), misses=self._longest_silence())

    def _silence(self, peer: Peer) -> float:
        return self._awake - peer.heard

    def _longest_silence(self) -> float:
        return max(map(self._silence, list(self._peers.values())), default=0.0)

    def _longest_missed(self) -> float:
        return max((peer.misses for peer in list(self._peers.values())), default=0.0)

    def _listen(self, patience: float) -> None:
        for key, _ in self._selector.select(patience):
            if isinstance(key.fileobj, LineSocket):
                self._hear(key.fileobj, key.data)
            else:
                self._accept()

    def _accept(self) -> None:
        with suppress(OSError):
            connection, _ = self._listener.accept()  # type: ignore[union-attr]
            if len(self._strangers) >= self._most_strangers:
                connection.close()
                return
            stranger = LineSocket(connection)
            self._strangers[stranger] = self._awake
            self._selector.register(stranger, selectors.EVENT_READ)

    def _hear(self, channel: LineSocket, peer: Peer | None) -> None:
        for message in channel.receive():
            if peer is None:
                peer = self._admitted(channel, message)
            elif peer.rank in self._peers:
                self._take(peer, message)
        if channel.ended:
            self._drop(channel)
            if peer is not None and peer.rank in self._peers:
                self._lose(peer, "died")

    def _admitted(self, channel: LineSocket, message: dict[str, Any]) -> Peer | None:
        """The peer that a stranger is by its token, if any."""
        match message:
            case {"token": str(token), "rank": int(rank), "process": [str(host), str(machine), int(number)]}:
                peer = self._peers.get(rank)
                known = secrets.compare_digest(token.encode(), self._token.encode())
                if known and peer is not None and peer.channel is None:
                    del self._strangers[channel]
                    peer.process, peer.channel, peer.heard = Process(host, machine, number), channel, self._awake
                    self._selector.modify(channel, selectors.EVENT_READ, peer)
                    return peer
        channel.ended = True
        return None

    def _take(self, peer: Peer, message: dict[str, Any]) -> None:
        match message:
            case {"phase": str(phase), "misses": float(misses)}:
                peer.phase, peer.misses, peer.heard = phase[:LONGEST_PHASE], misses, self._awake
            case {"left": 0}:
                del self._peers[peer.rank]
            case {"left": int(code)}:
                self._lose(peer, "failed", code)
            case {"frozen": [str(host), str(machine), int(number)]} if peer.rank == 0:
                Process(host, machine, number).kill()
            case {"code": int(code)} if peer.rank == 0:
                os._exit(code)

    def _find_silent(self) -> None:
        for stranger, since in list(self._strangers.items()):
            if self._awake - since > self._seconds:
                self._drop(stranger)
        for peer in self._peers.values():
            if self._silence(peer) > self._seconds:
                others = len(self._frozen()) - 1
                more = f"and {others} more " if others else ""
                self._lose(peer, f"{more}stopped answering for {self._seconds:g} s")

    def _frozen(self) -> list[Peer]:
        """The peers that will not end by being told to."""
        return [peer for peer in self._peers.values() if self._silence(peer) > self._seconds / 2]

    def _drop(self, channel: LineSocket) -> None:
        self._strangers.pop(channel, None)
        self._selector.unregister(channel)
        channel.close()

    def _lose(self, peer: Peer, what: str, code: int = EXIT_RESTART) -> None:
        """End this process, and through it the others; one that is leaving already lets no one hold it up."""
        if self._farewell is not None:
            return
        limit = threading.Timer(2 * FAREWELL_SECONDS, os._exit, [code])  # a full pipe would block the line for ever
        limit.daemon = True
        limit.start()
        if self._speaks:
            remedy = RESTART if code == EXIT_RESTART else "its own message says why"
            with suppress(OSError, ValueError):
                print(f"{peer} {what} while {peer.phase}; every rank stops now, {remedy}", file=sys.stderr, flush=True)
        frozen = [peer.process for peer in self._frozen() if peer.process is not None]
        for process in frozen:
            process.kill()
        if self._listener is not None:
            self._tell(*({"frozen": process.to_json()} for process in frozen), {"code": code})
        os._exit(code)

    def _channels(self) -> list[LineSocket]:
        return [key.fileobj for key in self._selector.get_map().values() if isinstance(key.fileobj, LineSocket)]

    def _tell(self, *messages: dict[str, Any]) -> None:
        """The last lines to everyone; waits until they have closed, for closing first could take them back."""
        for channel in self._channels():
            for message in messages:
                channel.send(**message)
            channel.finish()
        end = time.monotonic() + FAREWELL_SECONDS
        while (waiting := self._channels()) and time.monotonic() < end:
            self._selector.select(POLL_SECONDS)
            for channel in waiting:
                channel.receive()
                if channel.ended:
                    self._drop(channel)
