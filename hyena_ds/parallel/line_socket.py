"""JSON lines over a socket that never blocks; what is no line of ours is dropped."""

import json
import socket
from contextlib import suppress
from typing import Any

LONGEST_LINE = 4096


class LineSocket:
    """A connection that carries one JSON object a line; `ended` once the other side closed it."""

    def __init__(self, connection: socket.socket) -> None:
        connection.setblocking(False)
        self._connection, self.ended = connection, False
        self._received, self._unsent = b"", b""

    def fileno(self) -> int:
        return self._connection.fileno()

    def send(self, **message: Any) -> None:
        """Hand a line to the system; it is dropped where the other side has long stopped reading."""
        if len(self._unsent) < LONGEST_LINE:
            self._unsent += json.dumps(message).encode() + b"\n"
        with suppress(OSError):  # full, or closed by the other side: `receive` tells
            self._unsent = self._unsent[self._connection.send(self._unsent) :]

    def receive(self) -> list[dict[str, Any]]:
        """The messages that have come; a line without an end counts as the end of the connection."""
        try:
            chunk = self._connection.recv(LONGEST_LINE)
        except BlockingIOError:
            return []
        except OSError:
            chunk = b""
        *lines, self._received = (self._received + chunk).split(b"\n")
        self.ended = not chunk or len(self._received) > LONGEST_LINE
        return [message for message in map(_parse, lines) if message is not None]

    def finish(self) -> None:
        """Send nothing more. Closing with lines unread would take back what was sent: read until `ended` first."""
        with suppress(OSError):
            self._connection.shutdown(socket.SHUT_WR)

    def close(self) -> None:
        self._connection.close()


def _parse(line: bytes) -> dict[str, Any] | None:
    try:
        message = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return message if isinstance(message, dict) else None
