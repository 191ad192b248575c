import numpy as np
import pytest

from hyena_ds.data.config import DataConfig
from hyena_ds.data.stream import SampleStream, open_stream
from hyena_ds.data.windows import WindowSet
from hyena_ds.errors import InputError


@pytest.fixture
def mixed(write_genome, random_bases):
    """Three species of 30, 11 and 4 windows of 100 bases."""
    bases = [random_bases(3_000, 1), random_bases(1_050, 2), random_bases(400, 3)]
    return write_genome("mixed", bases, species=["worm", "yeast", "virus"])


def stream_of(genome, length=100, weights=None, **changes):
    config = DataConfig(directory=str(genome.directory), species_weights=weights)
    return open_stream(genome.index, config, **{"length": length, "seed": 5, "stage": 0} | changes)


def test_every_window_once_an_epoch_whatever_is_asked_together(mixed):
    stream = stream_of(mixed)
    samples = np.concatenate([stream.locate(np.arange(first, first + 7)).window for first in range(0, 7 * 45, 7)])
    for epoch in samples.reshape(7, 45):
        assert np.array_equal(np.sort(epoch), np.arange(45))
    assert not np.array_equal(samples[:45], samples[45:90])


def test_sample_far_away_needs_no_walk_there(mixed):
    stream = stream_of(mixed)
    far = 45 * 10**12
    located = stream.locate(np.arange(far, far + 45))
    assert set(located.epoch.tolist()) == {10**12}
    assert np.array_equal(np.sort(located.window), np.arange(45))


def test_order_depends_on_seed_and_stage_only(mixed):
    samples = np.arange(90)
    first = stream_of(mixed).locate(samples)
    again = stream_of(mixed).locate(samples[::-1])
    assert np.array_equal(first.window, again.window[::-1])
    assert np.array_equal(first.reverse_complement, again.reverse_complement[::-1])
    for changes in ({"seed": 6}, {"stage": 1}):
        assert not np.array_equal(first.window, stream_of(mixed, **changes).locate(samples).window)


def test_strand_is_drawn_anew_each_epoch_for_each_window(mixed):
    stream = stream_of(mixed)
    located = stream.locate(np.arange(45 * 40))
    strands = np.zeros((40, 45), dtype=bool)
    strands[located.epoch, located.window] = located.reverse_complement
    assert 0.45 < strands.mean() < 0.55
    assert strands.any(axis=0).all()
    assert not strands.all(axis=0).any()
    still = SampleStream(stream.pools, seed=5, stage=0, reverse_complement=False)
    assert not still.locate(np.arange(90)).reverse_complement.any()


def test_weights_hold_at_every_moment_and_each_pool_keeps_its_epoch(mixed):
    weights = {"worm": 1, "yeast": 2.5, "virus": 0.5}
    stream = stream_of(mixed, weights=weights)
    located = stream.locate(np.arange(200_000))
    for pool, share in enumerate([0.25, 0.625, 0.125]):
        taken = np.cumsum(located.pool == pool)
        assert np.abs(taken - share * np.arange(1, 200_001)).max() < 5
        size = len(stream.pools[pool])
        windows = located.window[located.pool == pool]
        epochs = windows[: len(windows) // size * size].reshape(-1, size)
        assert np.array_equal(np.sort(epochs, axis=1), np.tile(np.arange(size), (len(epochs), 1)))
        assert np.array_equal(located.epoch[located.pool == pool], np.arange(len(windows)) // size)


def test_a_species_of_tiny_weight_still_comes(mixed):
    stream = stream_of(mixed, weights={"worm": 1.0, "yeast": 1.0, "virus": 1e-9})
    assert (stream.locate(np.arange(2**17 + 64)).pool == 2).any()


def test_epoch_counts_whole_passes_of_every_pool(mixed):
    assert [stream_of(mixed).epoch(sample) for sample in (0, 44, 45, 90)] == [0, 0, 1, 2]
    stream = stream_of(mixed, weights={"worm": 1.0, "yeast": 1.0, "virus": 1.0})
    located = stream.locate(np.arange(70_000))
    sample = int(np.flatnonzero((located.pool == 0) & (located.epoch == 2))[0])
    done = int(np.flatnonzero((located.pool == 0) & (located.epoch == 1))[-1])
    assert (stream.epoch(done), stream.epoch(sample)) == (1, 2)


def test_weights_must_name_the_species_of_the_shards(mixed):
    with pytest.raises(InputError, match=r"names worm; .* holds virus, worm, yeast"):
        stream_of(mixed, weights={"worm": 1.0})


def test_empty_pool_is_refused(write_genome):
    genome = write_genome("empty", [b"N" * 1_000])
    with pytest.raises(InputError, match="a larger one"):
        stream_of(genome)


@pytest.mark.parametrize("weights", [{}, {"worm": 0.0}, {"worm": -1.0}, {"worm": float("inf")}, {"worm": float("nan")}])
def test_bad_weights_are_refused(weights):
    with pytest.raises(ValueError, match="species_weights"):
        DataConfig(directory="x", species_weights=weights)


def test_one_weighted_species_is_one_pool(write_genome, random_bases):
    genome = write_genome("one", [random_bases(1_000, 1)], species=["worm"])
    weighted, pooled = stream_of(genome, weights={"worm": 3.0}), stream_of(genome)
    samples = np.arange(50)
    assert np.array_equal(weighted.locate(samples).window, pooled.locate(samples).window)
    assert len(weighted.pools[0]) == len(WindowSet(genome.index, "train", 100))
