"""Splits: by fraction, by chromosome, and what two of them share."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hyena_ds.errors import InputError
from hyena_ds.genome.interval import Interval
from hyena_ds.genome.splits import (
    SplitFractions,
    merged,
    parse_fractions,
    shared_bases,
    split_by_chromosome,
    split_by_fraction,
)

intervals = st.builds(
    lambda name, start, length: Interval(name, start, start + length),
    st.sampled_from(["a", "b"]),
    st.integers(0, 80),
    st.integers(1, 20),
)


def positions(held):
    return {(interval.sequence, place) for interval in held for place in range(interval.start, interval.end)}


def test_fractions_run_along_each_sequence():
    splits = split_by_fraction({"chr20": 1000, "chr21": 10}, parse_fractions("0.9,0.0,0.1"))
    assert splits == {
        "train": [Interval("chr20", 0, 900), Interval("chr21", 0, 9)],
        "valid": [],
        "test": [Interval("chr20", 900, 1000), Interval("chr21", 9, 10)],
    }


@given(st.integers(1, 10**9), st.floats(0, 1), st.floats(0, 1))
def test_fractions_cover_each_base_once(length, first, second):
    train, rest = first, 1 - first
    fractions = SplitFractions(train, rest * second, 1 - train - rest * second)
    held = [interval for part in split_by_fraction({"c": length}, fractions).values() for interval in part]
    assert [held[0].start, held[-1].end] == [0, length]
    assert all(left.end == right.start for left, right in pairwise(held))


@pytest.mark.parametrize("text", ["0.9,0.1", "0.9,0.2,0.1", "1.1,-0.1,0", "a,b,c", "nan,0,1"])
def test_fractions_that_make_no_whole_are_refused(text):
    with pytest.raises(InputError, match="split fractions"):
        parse_fractions(text)


def test_chromosomes_are_taken_whole_by_any_alias():
    splits = split_by_chromosome({"1": 10, "14": 20, "X": 30}, ["chr14"], ["chrX"])
    assert splits == {"train": [Interval("1", 0, 10)], "valid": [Interval("14", 0, 20)], "test": [Interval("X", 0, 30)]}


def test_a_chromosome_in_two_splits_or_unknown_is_refused():
    with pytest.raises(InputError, match="cannot both"):
        split_by_chromosome({"chr1": 10}, ["chr1"], ["1"])
    with pytest.raises(InputError, match="no sequence 'chr9'"):
        split_by_chromosome({"chr1": 10}, ["chr9"], [])


@given(st.lists(intervals, max_size=8))
def test_merging_keeps_positions_and_leaves_gaps_between(held):
    union = merged(held)
    assert positions(union) == positions(held)
    assert all(left.sequence != right.sequence or left.end < right.start for left, right in pairwise(union))


@given(st.lists(intervals, max_size=8), st.lists(intervals, max_size=8))
def test_shared_bases_are_those_in_both(left, right):
    assert shared_bases(left, right) == len(positions(left) & positions(right))
