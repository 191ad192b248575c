"""The benchmark of embedding where there is no GPU."""

import argparse

import pytest

from benchmarks.embedding import LONGEST, PUBLISHED_LENGTHS, SHORTEST, lengths_of, measure_whole, random_lengths


def test_lengths_are_mixed_and_always_the_same() -> None:
    lengths = random_lengths(1000)
    assert lengths == random_lengths(1000)
    assert SHORTEST <= min(lengths) < 300 < 15_000 < max(lengths) <= LONGEST


@pytest.mark.parametrize(
    ("device", "asked", "lengths"), [("cuda", None, list(PUBLISHED_LENGTHS)), ("cpu", None, []), ("cpu", [5], [5])]
)
def test_whole_sequences_are_measured_on_a_gpu_or_where_asked(
    device: str, asked: list[int] | None, lengths: list[int]
) -> None:
    assert lengths_of(argparse.Namespace(device=device, lengths=asked)) == lengths


def test_a_whole_sequence_is_measured() -> None:
    row = measure_whole(300, "cpu", "fp32")
    assert row["length"] == 300
    assert row["limit_gib"] is None
    assert row["peak_gib"] > 0
