"""Shards: every base once, deterministic bytes, complete or absent, readable by WebDataset."""

import gzip
import json
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest
import webdataset

from hyena_ds.errors import InputError
from hyena_ds.genome.index import CRC_BLOCK_BYTES, read_index
from hyena_ds.genome.plan import Genome, ShardPlan
from hyena_ds.genome.record import block_checksums
from hyena_ds.genome.shard import shard_genome
from hyena_ds.genome.splits import SplitFractions

DATA = Path(__file__).parents[1] / "data"
YEAST = DATA / "yeast_chr1.fa.gz"
SMALL = b">chr1\nACGTacgtNN\nNNNNRYUACG\nT\n>chr2\nGGGG\n"


def plan_of(*genomes: Genome, **options) -> ShardPlan:
    return ShardPlan(genomes, **({"record_bases": 7, "shard_bases": 14} | options))


@pytest.fixture
def small(tmp_path):
    path = tmp_path / "small.fa"
    path.write_bytes(SMALL)
    return path


def read_sequences(directory: Path) -> dict[str, bytes]:
    """The sequences of a shard directory by nothing but its index and seek."""
    index, found = read_index(directory), {}
    for sequence in index.sequences:
        parts = []
        for record in sequence.records:
            with (directory / index.shards[record.shard].name).open("rb") as file:
                file.seek(record.offset)
                parts.append(file.read(record.length))
            assert block_checksums(parts[-1]) == record.crc32
        found[sequence.name] = b"".join(parts)
    return found


def test_a_small_genome_by_hand(small, tmp_path):
    index = shard_genome(plan_of(Genome(small, "toy", "toy1")), tmp_path / "out")
    assert read_sequences(tmp_path / "out") == {"chr1": b"ACGTACGTNNNNNNNNNACGT", "chr2": b"GGGG"}
    assert index == read_index(tmp_path / "out")
    assert index.sources[0].composition == {"A": 3, "C": 3, "G": 7, "T": 3, "N": 9}
    assert (index.sources[0].species, index.sources[0].assembly, index.sources[0].soft_masked) == ("toy", "toy1", 4)
    assert index.sequences[0].n_runs == ((8, 17),)
    assert [sequence.soft_masked for sequence in index.sequences] == [4, 0]
    assert [shard.name for shard in index.shards] == ["shard-000000.tar", "shard-000001.tar"]
    assert index.policy == "tile"
    assert not (tmp_path / ".out.partial").exists()


def test_soft_masking_lies_beside_the_bases(small, tmp_path):
    shard_genome(plan_of(Genome(small, "toy", "toy1")), tmp_path / "out")
    with tarfile.open(tmp_path / "out" / "shard-000000.tar") as tar:
        about = [json.load(tar.extractfile(name)) for name in tar.getnames() if name.endswith(".json")]
    assert about[0] == {
        "species": "toy",
        "assembly": "toy1",
        "sequence": "chr1",
        "start": 0,
        "end": 7,
        "soft_masked": [[4, 7]],
    }
    assert about[1]["soft_masked"] == [[7, 8]]


def test_a_real_chromosome_comes_back_whole(tmp_path):
    shard_genome(plan_of(Genome(YEAST), record_bases=100_000, shard_bases=200_000), tmp_path / "out")
    lines = gzip.decompress(YEAST.read_bytes()).split(b"\n")[1:]
    assert read_sequences(tmp_path / "out") == {"chrI": b"".join(lines).upper()}
    records = read_index(tmp_path / "out").sequences[0].records
    assert [len(record.crc32) for record in records] == [-(-record.length // CRC_BLOCK_BYTES) for record in records]


@pytest.mark.filterwarnings("ignore::ResourceWarning")  # webdataset leaves closing to the collector
def test_webdataset_reads_the_same_records(small, tmp_path):
    index = shard_genome(plan_of(Genome(small)), tmp_path / "out")
    paths = [str(tmp_path / "out" / shard.name) for shard in index.shards]
    samples = list(webdataset.WebDataset(paths, shardshuffle=False))
    assert [sample["__key__"] for sample in samples] == [f"{number:09d}" for number in range(4)]
    assert b"".join(sample["seq"] for sample in samples) == b"ACGTACGTNNNNNNNNNACGTGGGG"


def test_the_same_input_makes_the_same_bytes_anywhere(tmp_path):
    for place in ("here", "there"):
        (tmp_path / place).mkdir()
        (tmp_path / place / "small.fa").write_bytes(SMALL)
        shard_genome(plan_of(Genome(tmp_path / place / "small.fa")), tmp_path / place / "out")
    here, there = (sorted((tmp_path / place / "out").iterdir()) for place in ("here", "there"))
    assert (
        [path.name for path in here]
        == [path.name for path in there]
        == [
            "index.json",
            "shard-000000.tar",
            "shard-000001.tar",
        ]
    )
    assert [path.read_bytes() for path in here] == [path.read_bytes() for path in there]


def test_defaults_need_two_lines(tmp_path):
    plan = ShardPlan.of(DATA / "lambda_virus.fa.gz")
    index = shard_genome(plan, tmp_path / "out")
    assert index.species() == ("lambda_virus",)
    assert [index.bases(split) for split in ("train", "valid", "test")] == [38802, 4850, 4850]


def test_several_species_keep_their_names(small, tmp_path):
    other = tmp_path / "other.fa"
    other.write_bytes(b">chr1\nTTTTTT\n")
    plan = plan_of(Genome(small, "toy"), Genome(other, "pet"), test_chromosomes=("pet:chr1", "toy:2"))
    index = shard_genome(plan, tmp_path / "out")
    assert index.species() == ("toy", "pet")
    assert [(sequence.source, sequence.name) for sequence in index.sequences] == [(0, "chr1"), (0, "chr2"), (1, "chr1")]
    assert [region.sequence for region in index.splits["train"]] == [0]
    assert [region.sequence for region in index.splits["test"]] == [1, 2]


def test_one_species_has_each_sequence_once(small, tmp_path):
    other = tmp_path / "other.fa"
    other.write_bytes(b">chr2\nTTTTTT\n")
    with pytest.raises(InputError, match="'chr2' in both"):
        shard_genome(plan_of(Genome(small, "toy"), Genome(other, "toy")), tmp_path / "out")


def test_one_bed_speaks_of_all_files_of_its_species(small, tmp_path):
    other, bed = tmp_path / "other.fa", tmp_path / "both.bed"
    other.write_bytes(b">chr3\nTTTTTT\n")
    bed.write_text("chr3\t0\t3\ttest\nchr1\t2\t8\ttrain\n2\t0\t4\ttrain\n")
    index = shard_genome(plan_of(Genome(small, "toy", bed=bed), Genome(other, "toy", bed=bed)), tmp_path / "out")
    assert index.policy == "extend"
    assert [(region.sequence, region.start, region.end) for region in index.splits["train"]] == [(0, 2, 8), (1, 0, 4)]
    assert [(region.sequence, region.start, region.end) for region in index.splits["test"]] == [(2, 0, 3)]


def test_tiled_bed_intervals_are_merged_so_that_no_base_stands_twice(small, tmp_path):
    bed = tmp_path / "overlapping.bed"
    bed.write_text("chr2\t0\t3\nchr1\t5\t12\nchr1\t2\t8\nchr1\t12\t13\n")
    index = shard_genome(plan_of(Genome(small, bed=bed), policy="tile"), tmp_path / "out")
    assert [(region.sequence, region.start, region.end) for region in index.splits["train"]] == [(0, 2, 13), (1, 0, 3)]


def test_plans_that_contradict_themselves_are_refused(small, tmp_path):
    bed = tmp_path / "some.bed"
    bed.write_text("chr1\t0\t3\n")
    for options, reason in [
        ({"genomes": ()}, "no FASTA"),
        ({"policy": "extend"}, "policy extend needs intervals"),
        ({"genomes": (Genome(small, bed=bed),), "test_chromosomes": ("chr1",)}, "BED file says the split"),
        ({"record_bases": 0}, "record_bases"),
        ({"record_bases": 20, "shard_bases": 10}, "at most shard_bases"),
    ]:
        with pytest.raises(InputError, match=reason):
            ShardPlan(**({"genomes": (Genome(small),)} | options))


def test_an_unknown_chromosome_is_refused(small, tmp_path):
    with pytest.raises(InputError, match=r"no sequence 'chr7'; near names are chr"):
        shard_genome(plan_of(Genome(small), test_chromosomes=("chr7",)), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_an_output_in_use_is_not_replaced_unasked(small, tmp_path):
    plan, output = plan_of(Genome(small)), tmp_path / "out"
    output.mkdir()
    shard_genome(plan, output)
    before = (output / "index.json").read_bytes()
    with pytest.raises(InputError, match="not empty"):
        shard_genome(plan, output)
    changed = plan_of(Genome(small), fractions=SplitFractions(1.0, 0.0, 0.0))
    shard_genome(changed, output, overwrite=True)
    assert (output / "index.json").read_bytes() != before
    assert not list(tmp_path.glob(".out*"))


def test_overwrite_leaves_a_directory_with_something_else_in_it(small, tmp_path):
    output = tmp_path / "out"
    shard_genome(plan_of(Genome(small)), output)
    (output / "thesis.txt").write_text("years of work")
    with pytest.raises(InputError, match=r"thesis\.txt is no shard"):
        shard_genome(plan_of(Genome(small)), output, overwrite=True)
    assert (output / "thesis.txt").read_text() == "years of work"


def test_overwrite_replaces_nothing_but_shards(small, tmp_path):
    output = tmp_path / "home"
    output.mkdir()
    (output / "thesis.txt").write_text("years of work")
    with pytest.raises(InputError, match=r"holds no index\.json"):
        shard_genome(plan_of(Genome(small)), output, overwrite=True)
    assert (output / "thesis.txt").read_text() == "years of work"
    with pytest.raises(InputError, match="is a file"):
        shard_genome(plan_of(Genome(small)), output / "thesis.txt", overwrite=True)


def test_a_link_to_the_output_stays_a_link(small, tmp_path):
    (tmp_path / "disk").mkdir()
    (tmp_path / "out").symlink_to(tmp_path / "disk")
    shard_genome(plan_of(Genome(small)), tmp_path / "out")
    shard_genome(plan_of(Genome(small)), tmp_path / "out", overwrite=True)
    assert (tmp_path / "out").is_symlink()
    assert read_sequences(tmp_path / "disk")["chr2"] == b"GGGG"
    assert not list(tmp_path.glob(".disk*"))


def test_what_a_killed_run_left_is_cleared(small, tmp_path):
    (tmp_path / ".out.partial").mkdir()
    (tmp_path / ".out.partial" / "shard-000009.tar").write_bytes(b"half")
    shard_genome(plan_of(Genome(small)), tmp_path / "out")
    assert sorted(path.name for path in (tmp_path / "out").glob("*.tar")) == ["shard-000000.tar", "shard-000001.tar"]
    assert not (tmp_path / ".out.partial").exists()


def test_directories_with_odd_names_work(small, tmp_path):
    output = tmp_path / "100% pipe:echo" / "out"
    shard_genome(plan_of(Genome(small)), output)
    assert read_sequences(output)["chr2"] == b"GGGG"


def test_a_long_single_line_takes_little_memory(tmp_path):
    """64 MiB on one line; pyfaidx alone would hold it three times."""
    path = tmp_path / "line.fa"
    with path.open("wb") as file:
        file.write(b">chr1\n")
        for _ in range(64):
            file.write(b"ACGT" * 2**18)
    code = (
        "import resource, sys\nfrom pathlib import Path\nfrom hyena_ds.genome.fasta import open_fasta\n"
        "before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "fasta = open_fasta(Path(sys.argv[1]), Path(sys.argv[2]), print)\n"
        "print(fasta.scan.bases, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)"
    )
    run = subprocess.run(
        [sys.executable, "-c", code, path, tmp_path / "cache"], capture_output=True, text=True, check=True
    )
    bases, kibibytes = map(int, run.stdout.split())
    assert bases == 2**26
    assert kibibytes < 60 * 1024  # one block of 4 MiB and its counts, whatever the line
