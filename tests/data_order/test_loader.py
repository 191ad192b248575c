import itertools
import shutil
import threading

import numpy as np
import pytest

from hyena_ds.data.batch import BatchReader
from hyena_ds.data.config import DataConfig
from hyena_ds.data.loader import StepLoader
from hyena_ds.data.plan import StepPlan
from hyena_ds.data.shards import ShardReader
from hyena_ds.data.stream import open_stream
from hyena_ds.errors import InputError
from hyena_ds.genome.alphabet import PAD, N

SAMPLES = 12
WINDOWS = 45  # of 10,000 bases in the tiny genome, two of nothing but N left out


def reader_of(genome, length=10_000):
    stream = open_stream(genome.index, DataConfig(directory=""), length=length, seed=3, stage=1)
    return BatchReader(ShardReader(genome.directory, genome.index), stream)


def loader_of(genome, *, ranks=1, rank=0, micro_batch=5, **options):
    reader = reader_of(genome)
    length = reader.stream.pools[0].length
    plan = StepPlan(samples=SAMPLES, data_parallel_size=ranks, micro_batch=micro_batch, length=length)
    return StepLoader(reader, plan, rank=rank, **{"steps": 9} | options)


def rows(genome, **options):
    with loader_of(genome, **options) as loader:
        return [np.concatenate(batch.micro_batches) for batch in loader]


@pytest.fixture(scope="module")
def whole(genome):
    """The tokens of 9 steps, read without a loader: 2.4 epochs."""
    return reader_of(genome).read(np.arange(9 * SAMPLES)).reshape(9, SAMPLES, -1)


@pytest.mark.parametrize("ranks", [1, 2, 4])
@pytest.mark.parametrize("workers", [1, 3])
def test_same_global_order_at_any_data_parallel_size_and_worker_count(genome, whole, ranks, workers):
    steps = [rows(genome, ranks=ranks, rank=rank, workers=workers) for rank in range(ranks)]
    for step, expected in enumerate(whole):
        assert np.array_equal(np.concatenate([steps[rank][step] for rank in range(ranks)]), expected)


@pytest.mark.parametrize("ranks", [1, 2, 4])
def test_every_window_once_an_epoch_over_all_ranks(genome, ranks):
    seen = []
    for rank in range(ranks):
        with loader_of(genome, ranks=ranks, rank=rank) as loader:
            seen += [part for batch in loader for part in batch.samples]
    located = reader_of(genome).stream.locate(np.concatenate(seen))
    for epoch in (0, 1):
        windows = located.window[located.epoch == epoch]
        assert np.array_equal(np.sort(windows), np.arange(WINDOWS))


def test_resume_inside_an_epoch_equals_the_uninterrupted_run(genome, whole):
    with loader_of(genome) as loader:
        first = [np.concatenate(batch.micro_batches) for batch in itertools.islice(loader, 4)]
        state = loader.state
    assert state == {"stage": 1, "epoch": 1, "sample": 4 * SAMPLES}
    assert state["sample"] % WINDOWS != 0
    rest = rows(genome, first_step=state["sample"] // SAMPLES)
    assert np.array_equal(np.stack(first + rest), whole)


@pytest.mark.parametrize("ignore_n", [True, False])
def test_counts_are_those_of_the_rank(genome, ignore_n):
    n_targets = 0
    with loader_of(genome, ranks=2, rank=0, ignore_n=ignore_n) as loader:
        for batch in loader:
            targets = np.concatenate(batch.micro_batches)[:, 1:]
            n_targets += int((targets == N).sum())
            assert batch.tokens == (targets != PAD).sum()
            assert batch.valid == batch.tokens - ignore_n * (targets == N).sum()
            assert [len(part) for part in batch.micro_batches] == [len(part) for part in batch.samples] == [3, 3]
    assert n_targets > 0


def test_error_while_reading_ahead_comes_at_its_step(genome, tmp_path):
    copied = shutil.copytree(genome.directory, tmp_path / "copy")
    path = copied / genome.index.shards[0].name
    content = bytearray(path.read_bytes())
    content[genome.index.sequences[0].records[1].offset] ^= 1
    path.write_bytes(content)
    damaged = type(genome)(copied, genome.index, genome.bases)
    before = threading.active_count()
    with pytest.raises(InputError, match="checksum is wrong"):
        rows(damaged)
    assert threading.active_count() == before


def test_leaving_early_joins_the_threads(genome):
    before = threading.active_count()
    with loader_of(genome, workers=2, steps=10**6) as loader:
        next(iter(loader))
    assert threading.active_count() == before


def test_finished_stage_gives_nothing(genome):
    assert rows(genome, first_step=9) == []
