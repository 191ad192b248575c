"""Overlap: the same items in the same order, whatever is made or started before it is used."""

import threading
from collections.abc import Callable, Iterator

import pytest

from hyena_ds.inference.overlap import ahead, paired, started


def threads() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name.startswith("ahead")]


def test_ahead_keeps_the_order_and_leaves_no_thread() -> None:
    assert list(ahead(range(100))) == list(range(100))
    assert list(ahead([])) == []
    assert threads() == []


def test_ahead_makes_one_item_while_another_is_used_and_no_more() -> None:
    made, numbers = [threading.Event() for _ in range(3)], []

    def items() -> Iterator[int]:
        for number, event in enumerate(made):
            numbers.append(number)
            event.set()
            yield number

    read = ahead(items())
    assert next(read) == 0
    assert made[1].wait(timeout=10)  # nobody has asked for it
    assert numbers == [0, 1]
    assert list(read) == [1, 2]


def test_an_error_comes_where_its_item_would_have() -> None:
    def items() -> Iterator[int]:
        yield 1
        yield 2
        raise KeyError("third")

    read = ahead(items())
    assert (next(read), next(read)) == (1, 2)
    with pytest.raises(KeyError, match="third"):
        next(read)
    assert threads() == []


def test_closing_early_leaves_no_thread() -> None:
    read = ahead(range(100))
    assert next(read) == 0
    assert len(threads()) == 1
    read.close()
    assert threads() == []

    def used() -> None:
        for number in ahead(range(100)):
            if number == 3:
                raise RuntimeError("while it is used")

    with pytest.raises(RuntimeError, match="while it is used"):
        used()
    assert threads() == []


def test_an_error_of_what_is_started_leaves_no_thread() -> None:
    def start(number: int) -> Callable[[], float]:
        return lambda: 1 / (3 - number)

    with pytest.raises(ZeroDivisionError) as raised:  # whose traceback keeps every frame
        list(started(ahead(range(100)), start, 1))
    assert raised.value.__traceback__ is not None
    assert threads() == []


@pytest.mark.parametrize("more", [0, 1, 2])
def test_so_many_more_are_started_before_one_is_waited_for(more: int) -> None:
    events: list[str] = []

    def start(number: int) -> Callable[[], int]:
        events.append(f"start {number}")
        return lambda: events.append(f"wait {number}") or 10 * number

    assert list(started((number for number in range(5)), start, more)) == [(number, 10 * number) for number in range(5)]
    for number in range(5):
        before = events[: events.index(f"wait {number}")]
        assert sum(event.startswith("start") for event in before) == min(number + more + 1, 5)


def test_items_find_their_results_however_far_these_read_ahead() -> None:
    def squares(numbers: Iterator[int]) -> Iterator[int]:
        yield from [number**2 for number in ahead(numbers)]

    assert list(paired(range(9), squares)) == [(number, number**2) for number in range(9)]
