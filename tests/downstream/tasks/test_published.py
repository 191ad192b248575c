"""Published tasks in their own files: every entry is counted, its config is its own, and one row short is told."""

import gzip
import shlex
import threading
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from hyena_ds.config.load import load_config
from hyena_ds.downstream.config import FineTuneConfig
from hyena_ds.downstream.labels import LabelEncoder, find_classes
from hyena_ds.downstream.read import read_examples
from hyena_ds.downstream.task import TaskConfig, TaskDataConfig
from hyena_ds.downstream.tasks import genomic_benchmarks
from hyena_ds.downstream.tasks.catalogue import PUBLISHED, fetch_task
from hyena_ds.downstream.tasks.entry import PublishedTask
from hyena_ds.errors import InputError
from hyena_ds.genome.alphabet import decode
from hyena_ds.genome.fasta import FastaReader, open_fasta
from hyena_ds.genome.fetch import Source
from hyena_ds.genome.index import read_index
from hyena_ds.genome.interval import Interval
from launch.fetch import main as fetch_main
from preprocessing.shard import main as shard_main
from tests.downstream.conftest import launched

ROOT = Path(__file__).resolve().parents[3]
YEAST = ROOT / "tests/data/yeast_chr1.fa.gz"
MOUSE = "genomic_benchmarks/dummy_mouse_enhancers_ensembl"
# Train and test together, as the package publishes them.
TOTALS = {
    "dummy_mouse_enhancers_ensembl": 1210,
    "demo_coding_vs_intergenomic_seqs": 100_000,
    "demo_human_or_worm": 100_000,
    "human_enhancers_cohn": 27_791,
    "human_enhancers_ensembl": 154_842,
    "human_ensembl_regulatory": 289_061,
    "human_nontata_promoters": 36_131,
    "human_ocr_ensembl": 174_756,
}


def test_there_are_nine_and_twice_eighteen() -> None:
    families = [name.split("/")[0] for name in PUBLISHED]
    assert {family: families.count(family) for family in families} == {
        "genomic_benchmarks": 9,
        "nucleotide_transformer": 18,
        "nucleotide_transformer_revised": 18,
    }


def test_the_classes_of_a_benchmark_sum_to_its_published_total() -> None:
    counted = {name: [count for count in counts.values() if count] for name, counts in genomic_benchmarks.TASKS.items()}
    assert {name: sum(map(sum, counts)) for name, counts in counted.items() if counts} == TOTALS


@pytest.mark.parametrize("name", PUBLISHED)
def test_the_config_of_an_entry_asks_what_the_entry_says(name: str) -> None:
    entry = PUBLISHED[name]
    config = load_config(ROOT / "configs/finetune" / entry.config, FineTuneConfig, [f"task.published={name}"])
    assert (config.task.name, config.task.kind, config.task.metric) == (name.split("/")[1], entry.kind, entry.metric)
    assert (config.run_directory, config.data.train) == (f"runs/{name}", f"data/{name}")
    assert len({source.path for source in entry.sources}) == len(entry.sources) >= 2
    assert all(source.path.startswith(name) for source in entry.sources)


def test_what_a_config_says_itself_stands_before_what_was_published() -> None:
    words = ["task.published=genomic_benchmarks/demo_human_or_worm", "run_directory=mine", "data.train=here"]
    config = load_config(ROOT / "configs/finetune/genomic_benchmarks.yaml", FineTuneConfig, words)
    assert (config.run_directory, config.data.train, config.task.name) == ("mine", "here", "demo_human_or_worm")
    assert isinstance(config.data.fasta, dict)
    assert {name: path.split(".")[0] for name, path in config.data.fasta.items()} == {
        "human": "data/genomes/Homo_sapiens",
        "worm": "data/genomes/Caenorhabditis_elegans",
    }


def folders(directory: Path, name: str) -> Path:
    """The mouse enhancers as the package lays them out, with sequences of our own."""
    task = directory / name
    counts = PUBLISHED[name].counts
    for split, classes in counts.items():
        assert not isinstance(classes, int)
        for number, (label, count) in enumerate(classes.items()):
            folder = task / split / label
            folder.mkdir(parents=True)
            for example in range(count):
                (folder / f"{example}.txt").write_text("ACGT" * 3 + "AG"[number])
    return task


def test_a_benchmark_is_read_whole_and_refused_one_row_short(tmp_path: Path) -> None:
    path = folders(tmp_path, MOUSE)
    task = TaskConfig(name="mouse", kind="binary", published=MOUSE)
    data = TaskDataConfig(train=str(path))
    found = read_examples(task, data, tmp_path)
    assert [sum(one.split == split for one in found) for split in ("train", "test")] == [968, 242]
    assert find_classes(task, found) == ("negative", "positive")
    (path / "test" / "positive" / "7.txt").unlink()
    with pytest.raises(InputError, match="120 examples of test positive where 121 were published"):
        read_examples(task, data, tmp_path)
    unknown = task.model_copy(update={"published": "genomic_benchmarks/human_ocr"})
    with pytest.raises(InputError, match="near names are genomic_benchmarks/human_ocr_ensembl"):
        read_examples(unknown, data, tmp_path)


def test_every_benchmark_one_row_short_is_told() -> None:
    for entry in (one for one in genomic_benchmarks.ENTRIES if one.counts):
        whole = Counter(
            {
                (split, label): count
                for split, classes in entry.counts.items()
                if not isinstance(classes, int)
                for label, count in classes.items()
            }
        )
        entry.check(whole)
        for key in whole:
            with pytest.raises(InputError, match=rf"{entry.name}: .* examples of {' '.join(key)} where .* published"):
                entry.check(whole - Counter([key]))
        with pytest.raises(InputError, match="1 examples of train other where 0"):
            entry.check(whole + Counter([("train", "other")]))


def write_tables(directory: Path) -> Path:
    """Format-true interval tables on yeast chromosome I and on two transcripts."""
    rows = {
        "train/coding": ["0,ENST0001,2,6,+", "1,ENST0002.1,0,4,-"],
        "test/coding": ["2,ENST0001.3,0,10,+"],
        "train/genome": ["0,chrI,100,140,+", "1,I,100,140,-"],
        "test/genome": ["2,chrI,230000,230208,+"],
    }
    for name, lines in rows.items():
        path = directory / f"{name}.csv.gz"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(gzip.compress(("id,region,start,end,strand\n" + "\n".join(lines) + "\n").encode()))
    (directory / "cdna.fa").write_text(">ENST0001.3 cdna\nAACCGGTTAA\n>ENST0002.1 cdna\nAAACGT\n")
    return directory


def test_interval_tables_are_cut_from_the_genome_of_their_class(tmp_path: Path) -> None:
    directory = write_tables(tmp_path)
    fasta = {"coding": str(tmp_path / "cdna.fa"), "genome": str(YEAST)}
    data = TaskDataConfig(train=str(directory), fasta=fasta)
    found = read_examples(TaskConfig(name="coding", kind="binary"), data, tmp_path / "cache", lambda line: None)
    genome = open_fasta(YEAST, tmp_path / "cache", lambda line: None)
    with FastaReader(genome) as reader:
        name = genome.scan.sequences[0].name
        plus, last = (reader.bases(Interval(name, *ends)).decode().upper() for ends in ((100, 140), (230_000, 230_208)))
    minus = plus[::-1].translate(str.maketrans("ACGT", "TGCA"))
    texts = [(one.split, one.label[0], decode(one.tokens[:])) for one in found]
    assert sorted(texts) == sorted(
        [
            ("train", "coding", "CCGG"),
            ("train", "coding", "GTTT"),
            ("test", "coding", "AACCGGTTAA"),
            ("train", "genome", plus),
            ("train", "genome", minus),
            ("test", "genome", last),
        ]
    )
    lacking = data.model_copy(update={"fasta": {"coding": fasta["coding"]}})
    with pytest.raises(InputError, match="intervals of genome and no bases"):
        read_examples(TaskConfig(name="coding", kind="binary"), lacking, tmp_path / "cache", lambda line: None)
    (tmp_path / "cdna.fa").write_text(">ENST0001.3 cdna\nAACCGGTT\n>ENST0002.1 cdna\nAAACGT\n")
    with pytest.raises(InputError, match=r"coding\.csv\.gz line 2: ENST0001\.3:0-10 ends beyond .* another assembly"):
        read_examples(TaskConfig(name="coding", kind="binary"), data, tmp_path / "cache", lambda line: None)


def test_nucleotide_transformer_files_hold_the_label_last(tmp_path: Path) -> None:
    """Names as they are about: TASK/train.fna on the hub, all_test_enhancer.fasta in the image."""
    (tmp_path / "train.fna").write_text(">chr1:5-9|0\nACGT\n>seq 2|1\nAC\nGG\n>chr2:0-4|2\nNACG\n")
    (tmp_path / "all_test_enhancer.fasta").write_text(">chr3:10-14|1\nTTTT\n")
    task = TaskConfig(name="enhancers_types", kind="multiclass")
    data = TaskDataConfig(train=str(tmp_path), format="fasta", header_label="(.)$")
    found = read_examples(task, data, tmp_path)
    assert [(one.split, one.label[0], decode(one.tokens[:])) for one in found] == [
        ("test", "1", "TTTT"),
        ("train", "0", "ACGT"),
        ("train", "1", "ACGG"),
        ("train", "2", "NACG"),
    ]
    classes = find_classes(task, found)
    assert classes == ("0", "1", "2")
    assert [int(target) for target in LabelEncoder(task, classes).encode(found)] == [1, 0, 1, 2]
    assert str(found[1].interval) == "chr1:5-9"
    (tmp_path / "more.fasta").write_text(">x|1\nA\n")
    with pytest.raises(InputError, match=r"more\.fasta: its name holds none"):
        read_examples(task, data, tmp_path)


def test_a_total_without_classes_is_counted_too() -> None:
    entry = PUBLISHED["nucleotide_transformer/H3"]
    whole = Counter({("train", "0"): 6468, ("train", "1"): 7000, ("test", "0"): 12})
    entry.check(whole)
    with pytest.raises(InputError, match="13,467 examples of train where 13,468"):
        entry.check(whole - Counter([("train", "0")]))


@pytest.fixture
def served(tmp_path: Path) -> Iterator[str]:
    """The address of a server of the files below `tmp_path`/web."""
    handler = partial(QuietHandler, directory=str(tmp_path / "web"))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


class QuietHandler(SimpleHTTPRequestHandler):
    def log_message(self, format: str, *arguments: object) -> None:
        pass


def test_a_task_is_counted_as_it_is_fetched(served: str, tmp_path: Path) -> None:
    write_tables(tmp_path / "web/toy")
    names = [f"toy/{split}/{label}.csv.gz" for split in ("train", "test") for label in ("coding", "genome")]
    counts = {"train": {"coding": 2, "genome": 2}, "test": {"coding": 1, "genome": 1}}
    sources = tuple(Source(f"{served}/{name}", f"genomic_benchmarks/{name}") for name in names)
    genomes = {
        "coding": Source(f"{served}/toy/cdna.fa", "genomes/cdna.fa"),
        "genome": Source("http://127.0.0.1:1/not.asked", "yeast.fa"),
    }
    (tmp_path / "data").mkdir()
    (tmp_path / "data/yeast.fa").write_bytes(YEAST.read_bytes())
    task = PublishedTask("genomic_benchmarks/toy", "binary", "accuracy", "toy.yaml", counts, sources, genomes)
    assert fetch_task(task, tmp_path / "data", lambda line: None) == tmp_path / "data/genomic_benchmarks/toy"
    sections = task.sections(tmp_path / "data")
    data = TaskDataConfig.model_validate(sections["data"])
    found = read_examples(TaskConfig.model_validate(sections["task"]), data, tmp_path / "cache", lambda line: None)
    assert Counter((one.split, one.label[0]) for one in found) == Counter(
        {(split, name): count for split, classes in counts.items() for name, count in classes.items()}
    )
    longer = replace(task, counts={"train": {"coding": 2, "genome": 3}})
    with pytest.raises(InputError, match="2 examples of train genome where 3"):
        fetch_task(longer, tmp_path / "data", lambda line: None)


def test_the_command_takes_files_already_here(tmp_path: Path) -> None:
    directory = tmp_path / "nucleotide_transformer/promoter_tata"
    directory.mkdir(parents=True)
    for split in ("train", "test"):
        (directory / f"{split}.fna").write_text(">seq|1\nACGT\n>seq|0\nACGG\n")
    printed = launched(fetch_main, "nucleotide_transformer/promoter_tata", "--data", tmp_path)
    assert "no checksum is published" in printed
    words = shlex.split(printed.partition("done: python launch/finetune.py --config ")[2])
    config = load_config(ROOT / words[0], FineTuneConfig, words[1:])
    assert (config.task.published, config.data.train) == ("nucleotide_transformer/promoter_tata", str(directory))


def test_what_follows_the_fetch_of_hg38_makes_its_shards(tmp_path: Path) -> None:
    (tmp_path / "genomes").mkdir()
    (tmp_path / "genomes/hg38.ml.fa.gz").write_bytes(YEAST.read_bytes())
    (tmp_path / "genomes/human-sequences.bed").write_text("chrI\t0\t4000\ttrain\nchrI\t8000\t9000\tvalid\n")
    printed = launched(fetch_main, "hg38", "--data", tmp_path)
    words = shlex.split(printed.partition("done: python -m preprocessing.shard ")[2])
    assert f"{tmp_path / 'hg38'}" in launched(shard_main, *words)
    assert read_index(tmp_path / "hg38").policy == "extend"
