"""Asks a run to stop: SIGTERM and SIGUSR1 become a flag that all ranks read together, also inside a step."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from hyena_ds.engine.distributed import any_rank

STOP_SIGNALS = (signal.SIGTERM, signal.SIGUSR1)


class Stopped(Exception):  # noqa: N818 - asked for, so no error
    """A rank was asked to stop; an unfinished step is dropped."""


class StopRequest:
    """`received` is the name of the signal that asked this process to stop, or None."""

    def __init__(self) -> None:
        self.received: str | None = None
        for number in STOP_SIGNALS:
            signal.signal(number, self._receive)

    def _receive(self, number: int, frame: FrameType | None) -> None:
        self.received = signal.Signals(number).name

    def check(self) -> None:
        """Raises Stopped on every rank where any was asked to stop; every rank must call it at the same point."""
        if any_rank(self.received is not None):
            raise Stopped


@contextmanager
def handlers_restored() -> Iterator[None]:
    """A block after which the signals mean what they meant before, for programs that outlive a run."""
    before = {number: signal.getsignal(number) for number in STOP_SIGNALS}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
