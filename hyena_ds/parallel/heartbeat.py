"""A heartbeat between the ranks of a run: where one dies, fails or freezes, every other ends at once.

Rank 0 listens and each other rank keeps one connection to it. Both sides send their phase four times a second. A
connection that closes without a farewell is a death, silence for `seconds` a freeze or a cut-off. A collective that
waits for a lost rank cannot be unwound, so a process ends by `os._exit`.
"""

import secrets
import socket
from collections.abc import Callable
from types import TracebackType
from typing import Any, Self

from hyena_ds.errors import HyenaError, InputError, failure_code
from hyena_ds.parallel.environment import ProcessEnvironment
from hyena_ds.parallel.line_socket import LineSocket
from hyena_ds.parallel.watch import Peer, Process, Watch

VERDICT_SECONDS = 3.0
TURN_SECONDS = 0.3


class Heartbeat:
    """Watches the other ranks from a thread; a context that tells them how this rank ends.

    Set `phase` to what this rank is doing, such as "training step 12": it is named where the rank is lost.

    Args:
        seconds: of silence after which a rank counts as lost.
        share: called by every rank, gives rank 0's value to all.
    """

    def __init__(self, environment: ProcessEnvironment, seconds: float, share: Callable[[Any], Any]) -> None:
        self.phase = "starting"
        self._rank = environment.rank
        self._watch: Watch | None = None
        if environment.world_size == 1:
            return
        if environment.is_main:
            self._watch = self._listening(environment, seconds, share)
        else:
            self._watch = self._connected(environment, seconds, share)
        self._watch.start()

    def _listening(self, environment: ProcessEnvironment, seconds: float, share: Callable[[Any], Any]) -> Watch:
        listener = _listen(environment.master_address, environment.world_size)
        token = secrets.token_hex(16)
        share((listener.getsockname()[1], token, Process.own().to_json()))
        peers = [Peer(rank) for rank in range(1, environment.world_size)]
        return Watch(lambda: self.phase, seconds, peers, listener=listener, token=token)

    def _connected(self, environment: ProcessEnvironment, seconds: float, share: Callable[[Any], Any]) -> Watch:
        port, token, process = share(None)
        try:
            connection = socket.create_connection((environment.master_address, port), timeout=seconds)
        except OSError as error:
            raise InputError(
                f"rank {environment.rank} cannot reach rank 0 at {environment.master_address}:{port} for the "
                f"heartbeat: {error}; let the machines of a run reach each other on every port"
            ) from None
        channel = LineSocket(connection)
        channel.send(token=token, rank=environment.rank, process=Process.own().to_json())
        speaks = environment.rank == 1 or environment.local_rank == 0  # where rank 0's machine is lost, others speak
        peer = Peer(0, Process.from_json(process), channel)
        return Watch(lambda: self.phase, seconds, [peer], speaks=speaks)

    def close(self, code: int = 0) -> None:
        """Say goodbye; with another `code` than 0 this rank alone has failed, and every other exits with it."""
        if self._watch is not None:
            self._watch.say_goodbye(code)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._watch is not None and isinstance(error, RuntimeError):
            # A collective fails where a rank is lost: then the watch ends this process and tells which it was.
            self._watch.await_verdict(VERDICT_SECONDS)
        elif self._watch is not None and isinstance(error, HyenaError) and error.rank is not None:
            # Several ranks may meet the same bad input: the lowest speaks, and ends the others before they do.
            self._watch.join(min(self._rank * TURN_SECONDS, VERDICT_SECONDS))
        self.close(failure_code(error))


def _listen(address: str, backlog: int) -> socket.socket:
    """A listener on the interface of the master address, or on all where the name does not tell it."""
    try:
        family, _, _, _, place = socket.getaddrinfo(address, 0, type=socket.SOCK_STREAM)[0]
        # A machine may know its own name as 127.0.1.1, which other machines cannot reach.
        alias = str(place[0]).startswith("127.") and address != "localhost" and not address.startswith("127.")
        return socket.create_server(("" if alias else place[0], 0), family=family, backlog=backlog)
    except OSError:
        return socket.create_server(("", 0), backlog=backlog)
