import numpy as np
import pytest

from hyena_ds.data.batch import (
    BatchReader,
    WindowReader,
    base_targets,
    count_valid,
    inputs_and_targets,
    valid_targets,
)
from hyena_ds.data.config import DataConfig
from hyena_ds.data.shards import ShardReader
from hyena_ds.data.stream import open_stream
from hyena_ds.data.windows import WindowSet
from hyena_ds.genome.alphabet import PAD, SEP, encode

COMPLEMENT = bytes.maketrans(b"ACGT", b"TGCA")


def plain_row(bases: bytes, length: int, reverse: bool) -> list[int]:
    strand = bases[::-1].translate(COMPLEMENT) if reverse else bases
    return [*encode(strand).tolist(), SEP, *[PAD] * (length - len(bases))]


@pytest.mark.parametrize("length", [5, 1_000, 160_000, 500_000])
@pytest.mark.parametrize("reverse_complement", [False, True])
def test_rows_are_the_windows_that_the_stream_names(genome, length, reverse_complement):
    config = DataConfig(directory="", reverse_complement=reverse_complement)
    stream = open_stream(genome.index, config, length=length, seed=1, stage=0)
    samples = np.arange(min(2 * len(stream.pools[0]), 60))
    tokens = BatchReader(ShardReader(genome.directory, genome.index), stream).read(samples)
    assert tokens.dtype == np.uint8
    assert tokens.shape == (len(samples), length + 1)
    located = stream.locate(samples)
    assert located.reverse_complement.any() == reverse_complement
    places = zip(*stream.pools[0].bounds(located.window), located.reverse_complement, tokens, strict=True)
    for sequence, start, end, reverse, row in places:
        assert row.tolist() == plain_row(genome.bases[sequence][start:end], length, reverse)


def test_pools_keep_their_rows(write_genome, random_bases):
    genome = write_genome("two", [b"A" * 500, b"C" * 300], species=["a", "c"])
    config = DataConfig(directory="", reverse_complement=False, species_weights={"a": 1.0, "c": 2.0})
    stream = open_stream(genome.index, config, length=100, seed=1, stage=0)
    tokens = BatchReader(ShardReader(genome.directory, genome.index), stream).read(np.arange(30))
    expected = np.where(stream.locate(np.arange(30)).pool == 0, *encode(b"AC"))
    assert np.array_equal(tokens[:, 0], expected)
    assert np.array_equal(tokens[:, 99], expected)


def test_short_window_on_either_strand(write_genome):
    genome = write_genome("short", [b"ACGGN"])
    reader = WindowReader(ShardReader(genome.directory, genome.index))
    windows = WindowSet(genome.index, "train", 8)
    rows = reader.read(windows, np.array([0, 0]), np.array([False, True]))
    assert rows.tolist() == [[7, 8, 9, 9, 11, 1, 4, 4, 4], [11, 8, 8, 9, 10, 1, 4, 4, 4]]
    assert np.array_equal(reader.read(windows, np.array([0])), rows[:1])


def test_no_windows_make_no_rows(genome):
    reader = WindowReader(ShardReader(genome.directory, genome.index))
    assert reader.read(WindowSet(genome.index, "train", 8), np.empty(0, dtype=np.int64)).shape == (0, 9)


def test_targets_are_the_inputs_shifted_and_what_counts():
    tokens = np.concatenate([encode(b"ACNT"), np.array([SEP, PAD, PAD], dtype=np.uint8)])[None]
    inputs, targets = inputs_and_targets(tokens)
    assert inputs.tolist() == [[7, 8, 11, 10, 1, 4]]
    assert targets.tolist() == [[8, 11, 10, 1, 4, 4]]
    assert valid_targets(targets, ignore_n=False).tolist() == [[True, True, True, True, False, False]]
    assert valid_targets(targets, ignore_n=True).tolist() == [[True, False, True, True, False, False]]
    assert base_targets(targets).tolist() == [[True, False, True, False, False, False]]
    assert count_valid(tokens, ignore_n=False) == 4
    assert count_valid(tokens, ignore_n=True) == 3


def test_masks_are_the_same_on_torch_tensors():
    torch = pytest.importorskip("torch")
    tokens = np.arange(16, dtype=np.uint8)[None]
    _, targets = inputs_and_targets(tokens)
    _, on_torch = inputs_and_targets(torch.from_numpy(tokens).long())
    for ignore_n in (False, True):
        assert valid_targets(on_torch, ignore_n).tolist() == valid_targets(targets, ignore_n).tolist()
    assert base_targets(on_torch).tolist() == base_targets(targets).tolist()
