"""Batches of examples: each once an epoch, on either strand, padded behind [SEP]."""

import numpy as np
import pytest

from hyena_ds.data.order import random_bits
from hyena_ds.downstream.dataset import ExampleBatch, ExampleSet, ExampleStream
from hyena_ds.downstream.labels import IGNORED
from hyena_ds.genome.alphabet import PAD, SEP, A, N, encode


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


def cut(cutout: float, samples: np.ndarray, *, by_position: bool = True) -> ExampleBatch:
    """Of 200 examples of 100 or 61 bases A, read in the order of `samples`, each labelled 3 everywhere."""
    stream = ExampleStream(count=200, seed=3, stage=0, reverse_complement=False, cutout=cutout)
    lengths = [100, 61] * 100
    labels = [np.full(length if by_position else 112, 3) for length in lengths]
    found = ExampleSet([np.full(length, A, np.uint8) for length in lengths], labels, by_position)
    numbers, reverse = stream.locate(samples)
    batch = found.batch(numbers, 112, 100, reverse, samples)
    return stream.hide(batch, by_position=by_position)


def test_cutout_hides_one_stretch_of_bases_and_its_labels() -> None:
    samples = np.arange(200)
    batch, plain = cut(0.6, samples), cut(0.0, samples)
    hidden = batch.tokens == N
    assert np.array_equal(batch.tokens[~hidden], plain.tokens[~hidden])
    assert (plain.tokens[hidden] == A).all()
    assert (np.diff(hidden.astype(int), prepend=0, append=0, axis=1) == 1).sum(axis=1).max() == 1
    assert np.array_equal(batch.targets == IGNORED, (plain.targets == IGNORED) | hidden)
    shares = hidden.sum(axis=1) / (plain.tokens == A).sum(axis=1)
    assert shares.max() < 0.6
    assert np.quantile(shares, [0.25, 0.5, 0.75]) == pytest.approx([0.15, 0.3, 0.45], abs=0.06)
    middles = (hidden * np.arange(112)).sum(axis=1)[shares > 0] / hidden.sum(axis=1)[shares > 0]
    assert np.std(middles) > 10
    of_sequences = cut(0.6, samples, by_position=False)
    assert np.array_equal(of_sequences.tokens, batch.tokens)
    assert (of_sequences.targets == 3).all()


@pytest.mark.parametrize("stage", [0, 1])
def test_what_is_hidden_or_turned_tells_nothing_of_how_windows_were_drawn_by_the_same_seed(stage: int) -> None:
    count, seed = 2000, 2222
    stream = ExampleStream(count, seed, stage, reverse_complement=True, cutout=0.9)
    found = ExampleSet([np.full(100, A, np.uint8)] * count, [np.array(0)] * count, False)
    drawn = [random_bits(seed, draw, np.arange(count), split) / 2.0**64 for draw in range(3) for split in range(3)]
    for epoch in range(3):
        samples = np.arange(epoch * count, (epoch + 1) * count)
        numbers, reverse = stream.locate(samples)
        hidden = stream.hide(found.batch(numbers, 112, 100, reverse, samples), by_position=False).tokens == N
        starts = np.argmax(hidden, axis=1)
        for seen in (hidden.sum(axis=1), starts, reverse, numbers):
            for one in drawn:
                assert abs(np.corrcoef(seen, one[numbers])[0, 1]) < 0.1


def test_cutout_is_anew_every_epoch_and_the_same_in_any_batch() -> None:
    whole, next_epoch = cut(0.6, np.arange(200)).tokens, cut(0.6, np.arange(200, 400)).tokens
    assert np.array_equal(cut(0.6, np.arange(199, 99, -1)).tokens, whole[199:99:-1])
    order, later = (
        ExampleStream(200, 3, 0, reverse_complement=False).locate(np.arange(first, first + 200))[0]
        for first in (0, 200)
    )
    same = (whole[np.argsort(order)] == next_epoch[np.argsort(later)]).all(axis=1)
    assert same.mean() < 0.1
