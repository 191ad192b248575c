"""Batches of examples: each once an epoch, on either strand, padded behind [SEP]."""

import numpy as np
import pytest

from hyena_ds.downstream.dataset import ExampleSet, ExampleStream
from hyena_ds.downstream.labels import IGNORED
from hyena_ds.genome.alphabet import PAD, SEP, encode


def test_every_example_is_read_once_an_epoch_and_on_either_strand() -> None:
    stream = ExampleStream(count=500, seed=3, stage=0, reverse_complement=True)
    epochs = [stream.locate(np.arange(500 * epoch, 500 * (epoch + 1))) for epoch in range(2)]
    for numbers, reverse in epochs:
        assert sorted(numbers.tolist()) == list(range(500))
        assert 200 < reverse.sum() < 300
    strands = [dict(zip(numbers.tolist(), reverse.tolist(), strict=True)) for numbers, reverse in epochs]
    assert 200 < sum(strands[0][number] != strands[1][number] for number in range(500)) < 300
    plain = ExampleStream(count=500, seed=3, stage=0, reverse_complement=False)
    numbers, reverse = plain.locate(np.arange(500))
    assert np.array_equal(numbers, epochs[0][0])
    assert not reverse.any()


def test_the_other_strand_turns_bases_and_their_labels() -> None:
    found = ExampleSet([encode(b"AACGN"), encode(b"TG")], [np.array([0, 1, 2, 3, IGNORED]), np.array([4, 5])], True)
    numbers = np.arange(2)
    batch = found.batch(numbers, width=7, length=5, reverse=np.array([True, True]), samples=numbers)
    assert batch.tokens[0].tolist() == [*encode(b"NCGTT"), SEP, PAD]
    assert batch.tokens[1].tolist() == [*encode(b"CA"), SEP, *[PAD] * 4]
    assert batch.targets[0].tolist() == [IGNORED, 3, 2, 1, 0, IGNORED, IGNORED]
    assert batch.targets[1].tolist() == [5, 4, *[IGNORED] * 5]


@pytest.mark.parametrize(
    ("multiple", "l_max", "width"), [(1, 100, 16), (3, 100, 48), (1, 10, 10), (4, 10, 8), (1, 8, 8)]
)
def test_a_batch_is_wide_enough_for_the_longest_and_its_end(multiple: int, l_max: int, width: int) -> None:
    found = ExampleSet([encode(b"AACGTAC"), encode(b"A")], [np.array(1)] * 2, False)
    assert found.width(np.array([1, 0]), 7, multiple, l_max) == width


def test_a_stage_of_shorter_sequences_takes_their_centre() -> None:
    found = ExampleSet([encode(b"AACGT")], [np.array(1)], False)
    batch = found.batch(np.array([0]), width=4, length=3, reverse=np.array([False]), samples=np.array([0]))
    assert batch.tokens[0].tolist() == [*encode(b"ACG"), SEP]
