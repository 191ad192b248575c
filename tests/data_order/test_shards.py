import shutil

import pytest

from hyena_ds.data.shards import ShardReader
from hyena_ds.errors import InputError
from hyena_ds.genome.index import CRC_BLOCK_BYTES, read_index

RECORD_LENGTH = 150_000  # as the fixture writes them


@pytest.fixture
def copied(genome, tmp_path):
    return shutil.copytree(genome.directory, tmp_path / "copy")


@pytest.mark.parametrize(
    ("start", "end"),
    [
        (0, 1),
        (400_122, 400_123),
        (CRC_BLOCK_BYTES - 1, CRC_BLOCK_BYTES + 1),
        (RECORD_LENGTH - 5, RECORD_LENGTH),
        (RECORD_LENGTH, RECORD_LENGTH + 5),
        (RECORD_LENGTH - 5, RECORD_LENGTH + 5),
        (RECORD_LENGTH - 5, 2 * RECORD_LENGTH + 5),
        (0, 400_123),
    ],
)
def test_any_stretch_is_what_was_stored(genome, start, end):
    reader = ShardReader(genome.directory, genome.index)
    assert reader.read(0, start, end).tobytes() == genome.bases[0][start:end]
    assert reader.read(1, start % 50_000, start % 50_000 + 1).tobytes() == genome.bases[1][start % 50_000 :][:1]


@pytest.mark.parametrize(("start", "end"), [(-1, 5), (5, 5), (400_000, 400_124)])
def test_stretch_outside_the_sequence_is_refused(genome, start, end):
    with pytest.raises(ValueError, match="not inside chr1"):
        ShardReader(genome.directory, genome.index).read(0, start, end)


def test_flipped_byte_is_found_when_its_block_is_touched(copied):
    index = read_index(copied)
    record = index.sequences[0].records[1]
    path = copied / index.shards[0].name
    content = bytearray(path.read_bytes())
    content[record.offset + CRC_BLOCK_BYTES + 17] ^= 1
    path.write_bytes(content)
    reader = ShardReader(copied, index)
    reader.read(0, RECORD_LENGTH, RECORD_LENGTH + CRC_BLOCK_BYTES)
    for _ in range(2):  # a block that failed stays unchecked
        with pytest.raises(InputError, match=r"shard-000000.tar, record 000000001, block 1: .*preprocessing.verify"):
            reader.read(0, RECORD_LENGTH + CRC_BLOCK_BYTES - 1, RECORD_LENGTH + CRC_BLOCK_BYTES + 1)


def test_truncated_tar_is_refused_at_opening(copied):
    index = read_index(copied)
    path = copied / index.shards[1].name
    path.write_bytes(path.read_bytes()[:-700])
    with pytest.raises(InputError, match=r"shard-000001.tar has [\d,]+ bytes where index.json says .*verify"):
        ShardReader(copied, index)


def test_missing_shard_is_refused_at_opening(copied):
    index = read_index(copied)
    (copied / index.shards[1].name).unlink()
    with pytest.raises(InputError, match=r"no shard .*shard-000001.tar"):
        ShardReader(copied, index)


def test_index_from_another_directory_is_refused_at_opening(write_genome, random_bases):
    ours = write_genome("ours", [random_bases(2_000, 1), random_bases(2_000, 2)])
    swapped = ours.index.model_copy(update={"shards": ours.index.shards[::-1]})
    with pytest.raises(InputError, match="the index belongs to another directory"):
        ShardReader(ours.directory, swapped)


def test_index_of_a_genome_of_the_same_size_is_refused_at_the_first_read(write_genome, random_bases):
    ours = write_genome("ours", [random_bases(2_000, 1)])
    theirs = write_genome("theirs", [random_bases(2_000, 2)])
    with pytest.raises(InputError, match="checksum is wrong"):
        ShardReader(ours.directory, theirs.index).read(0, 0, 10)
