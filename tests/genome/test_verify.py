"""Verification: a true directory holds, and each lie is named."""

import json
import re
import shutil
from pathlib import Path

import pytest

from hyena_ds.errors import InputError
from hyena_ds.genome.index import read_index
from hyena_ds.genome.plan import Genome, ShardPlan
from hyena_ds.genome.shard import shard_genome
from hyena_ds.genome.verify import verify_shards

CONTENT = b">chr1\n" + b"ACGTacgtNN" * 20_000 + b"\n>chr2\nGGGGCC\n"


def make(directory: Path, content: bytes = CONTENT) -> Path:
    path = directory / "genome.fa"
    path.write_bytes(content)
    shard_genome(ShardPlan((Genome(path),), record_bases=90_000, shard_bases=180_000), directory / "shards")
    return directory / "shards"


@pytest.fixture(scope="module")
def true_shards(tmp_path_factory):
    return make(tmp_path_factory.mktemp("true"))


@pytest.fixture
def shards(true_shards, tmp_path):
    return Path(shutil.copytree(true_shards, tmp_path / "copy"))


def refusal(directory: Path) -> str:
    with pytest.raises(InputError) as caught:
        verify_shards(directory)
    return str(caught.value)


def flip(path: Path, position: int) -> None:
    content = bytearray(path.read_bytes())
    content[position] ^= 1
    path.write_bytes(content)


def edit(directory: Path, change) -> None:
    """Let `change` lie in the parsed index."""
    path = directory / "index.json"
    index = json.loads(path.read_text())
    change(index)
    path.write_text(json.dumps(index))


def test_the_truth_holds(true_shards):
    seen = []
    assert verify_shards(true_shards, seen.append) == read_index(true_shards)
    assert sum(seen) == 200_006


def test_a_truncated_shard_is_named(shards):
    path = shards / "shard-000001.tar"
    path.write_bytes(path.read_bytes()[:-10_000])
    assert re.match(r"shard-000001\.tar: .*truncated", refusal(shards))


def test_a_flipped_base_is_named_with_its_record_and_block(shards):
    record = read_index(shards).sequences[0].records[1]
    flip(shards / "shard-000000.tar", record.offset + 70_000)
    assert refusal(shards).startswith("shard-000000.tar record 000000001: bases 65,536-90,000 of the record fail")


def test_every_flipped_byte_is_found(shards):
    """Headers, metadata, bases, padding and the end of the archive."""
    path = shards / "shard-000001.tar"
    size = path.stat().st_size
    for position in [0, 5, 124, 150, 257, 400, 513, 600, 1024, 1100, 2000, *range(20_000, size, 9973), size - 1]:
        flip(path, position)
        assert refusal(shards).startswith("shard-000001.tar"), position
        flip(path, position)
    assert verify_shards(shards)


def test_a_damaged_header_of_bases_names_its_record(shards):
    record = read_index(shards).sequences[0].records[1]
    flip(shards / "shard-000000.tar", record.offset - 512 + 3)
    assert refusal(shards).startswith("shard-000000.tar record 000000001: not found")


def test_missing_and_extra_shards_are_named(shards):
    (shards / "shard-000001.tar").rename(shards / "shard-000007.tar")
    assert refusal(shards).startswith("shard-000001.tar: missing")
    shutil.copy(shards / "shard-000007.tar", shards / "shard-000001.tar")
    assert refusal(shards).startswith("shard-000007.tar: not in the index")


def test_exchanged_shards_are_found(shards):
    index = read_index(shards)
    first, second = (shards / shard.name for shard in index.shards[:2])
    first.rename(shards / "aside")
    second.rename(first)
    (shards / "aside").rename(second)
    assert refusal(shards).startswith("shard-000000.tar")


def test_an_index_from_another_directory_is_found(shards, tmp_path):
    (tmp_path / "other").mkdir()
    other = make(tmp_path / "other", CONTENT.replace(b"GGGGCC", b"GGGGCCGG").replace(b"chr1", b"chrA"))
    shutil.copy(other / "index.json", shards / "index.json")
    assert refusal(shards).startswith("shard-00000")
    longer = tmp_path / "longer"
    longer.mkdir()
    shutil.copy(make(longer, CONTENT.replace(b"NN", b"NNNNNNNN")) / "index.json", shards / "index.json")
    assert "another directory" in refusal(shards) or "missing" in refusal(shards)


def test_no_index_is_no_shard_directory(shards):
    (shards / "index.json").unlink()
    assert "no index.json" in refusal(shards)


def record_of(index):
    return index["sequences"][0]["records"][1]


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda index: record_of(index).update(start=80_000), "record 000000001 .*overlaps"),
        (lambda index: record_of(index).update(start=95_000), "record 000000001 .*gap"),
        (lambda index: record_of(index).update(offset=512), "record 000000001"),
        (lambda index: record_of(index).update(offset=10**9), "record 000000001 ends beyond its shard"),
        (lambda index: record_of(index).update(shard=9), "record 000000001 is in shard 9"),
        (lambda index: record_of(index).update(key="000000000"), "record 000000000 stands twice"),
        (lambda index: record_of(index)["crc32"].pop(), "record 000000001 has 1 checksums"),
        (lambda index: index["sequences"][0].update(length=200_001), "records of chr1 end at 200,000"),
        (lambda index: index["sequences"][0].update(source=3), "source 3"),
        (lambda index: index["sequences"][0].update(soft_masked=7), "chr1: 80,000 soft-masked"),
        (lambda index: index["sequences"][0]["n_runs"].pop(), "chr1: the runs of N"),
        (lambda index: index["sequences"][0]["n_runs"].append([199_999, 200_001]), "out of bounds"),
        (lambda index: index["sources"][0].update(soft_masked=7), "80,000 soft-masked"),
        (lambda index: index["sources"][0]["composition"].update(A=1), "the index says"),
        (lambda index: index["sources"][0].update(species="mouse"), "record 000000000: its json member says"),
        (lambda index: index["splits"]["test"][0].update(end=200_001), "test region chr1:180,000-200,001 is out"),
        (lambda index: index["splits"]["test"][0].update(sequence=5), "test region is on sequence 5"),
        (lambda index: index["splits"]["train"].append(index["splits"]["train"][0]), "train regions .* overlap"),
        (lambda index: index["splits"].pop("test"), "splits"),
        (lambda index: index.update(policy="shuffle"), "policy 'shuffle'"),
        (lambda index: index["shards"][0].update(name="../shard-000000.tar"), "is no shard name"),
        (lambda index: index["shards"][0].update(sha256="0" * 64), r"shard-000000\.tar: SHA-256"),
        (lambda index: index["shards"][0].update(bytes=1_000), "ends beyond its shard"),
        (lambda index: index.update(format="other/9"), "has format 'other/9'"),
        (lambda index: index.pop("sequences"), "is not a shard index"),
    ],
)
def test_lies_of_the_index_are_named(shards, change, reason):
    edit(shards, change)
    assert re.search(reason, refusal(shards))
