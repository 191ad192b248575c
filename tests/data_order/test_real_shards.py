"""From a FASTA file through the writer in `genome/` to tokens: the two rooms agree on the format."""

import gzip
from pathlib import Path

import numpy as np
import pytest

from hyena_ds.data.batch import BatchReader
from hyena_ds.data.config import DataConfig
from hyena_ds.data.shards import ShardReader
from hyena_ds.data.stream import open_stream
from hyena_ds.genome.alphabet import SEP, encode, reverse_complement
from hyena_ds.genome.index import read_index
from hyena_ds.genome.plan import Genome, ShardPlan
from hyena_ds.genome.shard import shard_genome
from hyena_ds.genome.splits import SplitFractions

GENOMES = Path(__file__).parents[1] / "data"


@pytest.fixture(scope="module")
def shards(tmp_path_factory):
    """Lambda and yeast chromosome 1, in records of 10,007 bases and tar files of 60,000."""
    directory = tmp_path_factory.mktemp("real") / "shards"
    genomes = tuple(Genome(GENOMES / f"{name}.fa.gz", species=name) for name in ("lambda_virus", "yeast_chr1"))
    plan = ShardPlan(genomes, fractions=SplitFractions(1, 0, 0), record_bases=10_007, shard_bases=60_000)
    shard_genome(plan, directory, say=lambda line: None)
    return directory


def bases_of(name):
    lines = gzip.decompress((GENOMES / f"{name}.fa.gz").read_bytes()).splitlines()
    return b"".join(lines[1:]).upper()


@pytest.mark.parametrize("weights", [None, {"lambda_virus": 1.0, "yeast_chr1": 1.0}])
def test_an_epoch_of_tokens_gives_the_genome_back(shards, weights):
    index = read_index(shards)
    config = DataConfig(directory=str(shards), species_weights=weights)
    stream = open_stream(index, config, length=1_000, seed=0, stage=0)
    samples = np.arange(sum(len(pool) for pool in stream.pools) * (1 if weights is None else 3))
    located = stream.locate(samples)
    tokens = BatchReader(ShardReader(shards, index), stream).read(samples)
    restored = [np.zeros(sequence.length, dtype=np.uint8) for sequence in index.sequences]
    for sample in np.flatnonzero(located.epoch == 0):
        windows = stream.pools[located.pool[sample]]
        sequence, start, end = (int(bound[0]) for bound in windows.bounds(located.window[sample : sample + 1]))
        row = tokens[sample, : end - start]
        assert tokens[sample, end - start] == SEP
        restored[sequence][start:end] = reverse_complement(row) if located.reverse_complement[sample] else row
    for sequence, name in zip(restored, ("lambda_virus", "yeast_chr1"), strict=True):
        assert np.array_equal(sequence, encode(bases_of(name)))
