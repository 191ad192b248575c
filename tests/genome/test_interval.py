"""Intervals: validation, and the window around one."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hyena_ds.errors import InputError
from hyena_ds.genome.interval import Interval


@st.composite
def placed_intervals(draw):
    """An interval and the length of the sequence that it lies on."""
    length = draw(st.integers(1, 1000))
    start = draw(st.integers(0, length - 1))
    return Interval("chr1", start, draw(st.integers(start + 1, length))), length


@pytest.mark.parametrize(("start", "end"), [(-1, 5), (5, 5), (6, 5)])
def test_what_is_no_stretch_is_refused(start, end):
    with pytest.raises(InputError, match="chr1"):
        Interval("chr1", start, end)


def test_an_interval_needs_a_sequence():
    with pytest.raises(InputError, match="names no sequence"):
        Interval("", 0, 1)


def test_an_end_beyond_the_sequence_is_refused():
    Interval("chr1", 0, 10).check_within(10)
    with pytest.raises(InputError, match="10 bases"):
        Interval("chr1", 0, 11).check_within(10)


@pytest.mark.parametrize(
    ("start", "end", "length", "expected"),
    [
        (40, 50, 20, (35, 55)),
        (40, 50, 21, (35, 56)),  # the right side takes the odd base
        (2, 6, 12, (0, 12)),  # shifted inside at the start
        (94, 98, 12, (88, 100)),  # shifted inside at the end
        (10, 90, 30, (35, 65)),  # longer intervals keep their middle
        (10, 40, 30, (10, 40)),
        (40, 50, 500, (0, 100)),
    ],
)
def test_window_rules(start, end, length, expected):
    window = Interval("chr1", start, end).resized(length, 100)
    assert (window.start, window.end) == expected


@given(placed_intervals(), st.integers(1, 2000))
def test_a_window_is_in_bounds_and_never_too_long(placed, length):
    interval, sequence_length = placed
    window = interval.resized(length, sequence_length)
    window.check_within(sequence_length)
    assert window.length == min(length, sequence_length)
    assert window.overlap(interval) == min(interval.length, length)


@given(placed_intervals())
def test_resizing_to_its_own_length_changes_nothing(placed):
    interval, sequence_length = placed
    assert interval.resized(interval.length, sequence_length) == interval


@given(placed_intervals(), placed_intervals())
def test_overlap_counts_shared_positions(left, right):
    ours, theirs = left[0], right[0]
    shared = set(range(ours.start, ours.end)) & set(range(theirs.start, theirs.end))
    assert ours.overlap(theirs) == theirs.overlap(ours) == len(shared)
    assert ours.overlap(Interval("chr2", theirs.start, theirs.end)) == 0
