"""Work that overlaps: what comes next is made, or started, while something is used."""

from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from typing import Any, TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


def ahead(items: Iterable[Item]) -> Generator[Item, None, None]:
    """The items, of which a thread makes the next while one is used; an error comes where its item would have come."""
    iterator, end = iter(items), object()
    with ThreadPoolExecutor(1, "ahead") as thread:
        following: Any = thread.submit(next, iterator, end)
        while (item := following.result()) is not end:
            following = thread.submit(next, iterator, end)
            yield item


def started(
    items: Generator[Item, None, None], start: Callable[[Item], Callable[[], Result]], more: int
) -> Iterator[tuple[Item, Result]]:
    """Each item with what `start` promised for it; `more` are started before one is waited for."""
    promised: deque[tuple[Item, Callable[[], Result]]] = deque()
    with closing(items):  # an error of `start` or a promise ends the threads behind them
        for item in items:
            promised.append((item, start(item)))
            if len(promised) > more:
                first, result = promised.popleft()
                yield first, result()
        for first, result in promised:
            yield first, result()


def paired(
    items: Iterable[Item], results: Callable[[Iterable[Item]], Iterator[Result]]
) -> Generator[tuple[Item, Result], None, None]:
    """Each item with its one of the `results`, which come in the items' order but may read ahead, in any thread."""
    read: deque[Item] = deque()

    def remembered() -> Iterator[Item]:
        for item in items:
            read.append(item)
            yield item

    for result in results(remembered()):
        yield read.popleft(), result
