"""How far a long pass has come: a bar on a terminal, a line each quarter elsewhere."""

import sys
from threading import Lock
from types import TracebackType

from tqdm import tqdm

MILESTONES = 4
QUIET = 100_000_000  # a log needs no milestones of a pass that ends in seconds


class Progress:
    """Call `advance(amount)` as work is done, in `unit`s; use it in a `with` statement. `shown=False` keeps silent."""

    def __init__(self, title: str, total: int, unit: str, shown: bool = True) -> None:
        self._title = title
        self._total = total
        self._unit = unit
        self._done = 0
        self._counting = Lock()
        terminal = sys.stderr.isatty()
        self._milestones = shown and not terminal and total >= QUIET
        self._bar = tqdm(
            total=total, desc=title, unit=unit, unit_scale=True, leave=False, disable=not (shown and terminal)
        )

    def __enter__(self) -> "Progress":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.close()

    def advance(self, amount: int) -> None:
        """Count `amount` more as done; from any thread."""
        with self._counting:
            before, self._done = self._done, self._done + amount
            self._bar.update(amount)
        if self._milestones and before * MILESTONES // self._total < self._done * MILESTONES // self._total:
            share = self._done / self._total
            print(f"{self._title}: {share:.0%} of {self._total:,} {self._unit.strip()}", file=sys.stderr, flush=True)
