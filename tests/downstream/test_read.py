"""Every form in which labelled sequences come gives the same examples; what is no labelled sequence is named."""

import gzip
from pathlib import Path

import numpy as np
import pyarrow
import pyarrow.parquet
import pytest

from hyena_ds.downstream.example import Example
from hyena_ds.downstream.labels import LabelEncoder, find_classes
from hyena_ds.downstream.read import read_examples
from hyena_ds.downstream.task import TaskConfig, TaskDataConfig
from hyena_ds.errors import InputError
from hyena_ds.genome.alphabet import decode, encode
from tests.downstream.conftest import OPEN_CHROMATIN, OPEN_CHROMATIN_COLUMNS, PROMOTERS

TASK = TaskConfig(name="promoters", kind="binary")
Rows = list[tuple[str, str]]


def read(place: Path, cache: Path, task: TaskConfig = TASK, **settings: object) -> list[Example]:
    return read_examples(task, TaskDataConfig(train=str(place), **settings), cache)  # type: ignore[arg-type]


def contents(examples: list[Example]) -> Rows:
    return [(decode(example.tokens), example.label[0]) for example in examples]


def write_tsv(rows: Rows, directory: Path) -> Path:
    path = directory / "rows.tsv.gz"
    text = "".join(f"{label}\t{sequence.lower()}\n" for sequence, label in [("sequence", "label"), *rows])
    path.write_bytes(gzip.compress(text.encode()))
    return path


def write_parquet(rows: Rows, directory: Path) -> Path:
    path = directory / "rows.parquet"
    columns = {"label": [int(label) for _, label in rows], "sequence": [sequence for sequence, _ in rows]}
    pyarrow.parquet.write_table(pyarrow.table(columns), path)
    return path


def write_dataset(rows: Rows, directory: Path) -> Path:
    """As `datasets` saves to disk: Arrow streams in a folder a split."""
    table = pyarrow.table({"sequence": [row[0] for row in rows], "label": [int(row[1]) for row in rows]})
    folder = directory / "saved" / "train"
    folder.mkdir(parents=True)
    with pyarrow.ipc.new_stream(str(folder / "data-00000-of-00001.arrow"), table.schema) as writer:
        writer.write_table(table)
    return directory / "saved"


def write_fasta(rows: Rows, directory: Path) -> Path:
    path = directory / "rows.fasta"
    records = (f">row {number} |{label}\n{sequence[:80]}\n{sequence[80:]}\n"
               for number, (sequence, label) in enumerate(rows))  # fmt: skip
    path.write_text("".join(records))
    return path


def write_folders(rows: Rows, directory: Path) -> Path:
    for number, (sequence, label) in enumerate(rows):
        folder = directory / "folders" / label
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{number:04d}.txt").write_text(sequence + "\n")
    return directory / "folders"


def write_bed(rows: Rows, directory: Path) -> Path:
    """The rows side by side on one chromosome, every third on the minus strand."""
    opposite = str.maketrans("ACGT", "TGCA")
    bases, lines = "", []
    for number, (sequence, label) in enumerate(rows):
        minus = number % 3 == 0
        lines.append(f"chr1\t{len(bases)}\t{len(bases) + len(sequence)}\t{label}\t0\t{'-' if minus else '+'}\n")
        bases += sequence[::-1].translate(opposite) if minus else sequence
    (directory / "genome.fa").write_text(f">chr1\n{bases}\n")
    (directory / "rows.bed").write_text("".join(lines))
    return directory / "rows.bed"


@pytest.mark.parametrize("write", [write_tsv, write_parquet, write_dataset, write_fasta, write_folders, write_bed])
def test_every_form_gives_the_same_examples(write: object, promoters: Rows, tmp_path: Path) -> None:
    path = write(promoters, tmp_path)  # type: ignore[operator]
    genome = str(tmp_path / "genome.fa") if write is write_bed else None
    found = contents(read(path, tmp_path / "cache", fasta=genome))
    order = sorted if write is write_folders else list
    assert order(found) == order(contents(read(PROMOTERS, tmp_path / "cache")))
    assert len(found) == len(promoters) == 120


def test_a_directory_of_fasta_files_needs_no_format(promoters: Rows, tmp_path: Path) -> None:
    for split, rows in (("train", promoters[:80]), ("test", promoters[80:])):
        text = "".join(f">seq{number}|{label}\n{sequence}\n" for number, (sequence, label) in enumerate(rows))
        (tmp_path / f"{split}.fna").write_text(text)
    found = read(tmp_path, tmp_path / "cache")
    assert [one.split for one in found] == ["test"] * 40 + ["train"] * 80
    assert contents(found) == [
        *contents(read(PROMOTERS, tmp_path / "cache"))[80:],
        *contents(read(PROMOTERS, tmp_path / "cache"))[:80],
    ]


def test_a_file_without_header_gives_splits_and_places(tmp_path: Path) -> None:
    found = read(OPEN_CHROMATIN, tmp_path, columns=OPEN_CHROMATIN_COLUMNS)
    assert [example.split for example in found].count("test") == 40
    assert str(found[0].interval).startswith("chr")
    assert all(example.interval is not None and example.interval.length == len(example.tokens) for example in found)


def test_folders_may_stand_in_folders_of_splits(promoters: Rows, tmp_path: Path) -> None:
    for split, rows in (("train", promoters[:80]), ("test", promoters[80:])):
        write_folders(rows, tmp_path / "task" / split)
        for folder in (tmp_path / "task" / split / "folders").iterdir():
            folder.rename(tmp_path / "task" / split / folder.name)
        (tmp_path / "task" / split / "folders").rmdir()
    found = read(tmp_path / "task", tmp_path)
    assert [example.split for example in found] == ["test"] * 40 + ["train"] * 80


def test_the_files_of_a_dataset_directory_name_their_splits(promoters: Rows, tmp_path: Path) -> None:
    """As the hub keeps them: data/SPLIT-NUMBER-of-COUNT.parquet."""
    (tmp_path / "hub" / "data").mkdir(parents=True)
    for split, rows in (("test", promoters[:40]), ("train", promoters[40:])):
        table = pyarrow.table({"sequence": [row[0] for row in rows], "label": [int(row[1]) for row in rows]})
        pyarrow.parquet.write_table(table, tmp_path / "hub" / "data" / f"{split}-00000-of-00001.parquet")
    found = read(tmp_path / "hub", tmp_path)
    assert [example.split for example in found] == ["test"] * 40 + ["train"] * 80
    assert contents(found) == [(sequence, label) for sequence, label in promoters]


@pytest.mark.parametrize("label", ["y_*", ("y_b", "y_a")])
def test_several_label_columns_give_their_names(label: str | tuple[str, ...], tmp_path: Path) -> None:
    (tmp_path / "rows.csv").write_text("sequence,y_a,y_b\nACGT,1,0\nACGA,0,1\n")
    task = TaskConfig(name="profile", kind="multilabel")
    found = read(tmp_path / "rows.csv", tmp_path, task, label=label)
    names = ("y_a", "y_b") if label == "y_*" else ("y_b", "y_a")
    assert find_classes(task, found) == names
    assert LabelEncoder(task, names).encode(found)[0].tolist() == [float(name == "y_a") for name in names]
    with pytest.raises(InputError, match=r"names 2 columns \(y_., y_.\), of which task.kind=binary takes one"):
        find_classes(TASK, found)


def test_ambiguity_codes_become_n(tmp_path: Path) -> None:
    (tmp_path / "rows.csv").write_text("sequence,label\nacgtRYn,0\n")
    assert np.array_equal(read(tmp_path / "rows.csv", tmp_path)[0].tokens, encode(b"ACGTNNN"))


def test_a_window_is_centred_on_its_interval(tmp_path: Path) -> None:
    (tmp_path / "genome.fa").write_text(">1\n" + "A" * 50 + "CG" + "A" * 48 + "\n")
    (tmp_path / "rows.bed").write_text("chr1\t50\t52\tsite\n")
    (example,) = read(tmp_path / "rows.bed", tmp_path, fasta=str(tmp_path / "genome.fa"), window=10)
    assert decode(example.tokens) == "AAAACGAAAA"


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ("sequence,label\nACGT,0\nACXT,1\n", ["line 3", "'X' at position 3"]),
        ("sequence,label\nACGT,0\nACéT,1\n", ["line 3", "'é' at position 3"]),
        ("sequence,label\nACGT,0\n,1\n", ["line 3", "empty"]),
        ("sequence,y\nACGT,0\n", ["no label column 'label'", "sequence, y"]),
        ("bases,label\nACGT,0\n", ["no sequence column 'sequence'"]),
        ("sequence,label\nACGT\n", ["line 2", "1 fields where 2"]),
        ("sequence,label,split\nACGT,0,dev\n", ["line 2", "split 'dev'"]),
        ("sequence,label\n", ["holds no examples"]),
        ("sequence,label\nACGTACGTA,0\n", ["line 2", "9 bases", "task.length=8"]),
    ],
)
def test_bad_rows_are_named(content: str, told: list[str], tmp_path: Path) -> None:
    (tmp_path / "rows.csv").write_text(content, encoding="utf-8")
    with pytest.raises(InputError) as caught:
        read(tmp_path / "rows.csv", tmp_path, TASK.model_copy(update={"length": 8}))
    assert all(part in str(caught.value) for part in ["rows.csv", *told]), caught.value


@pytest.mark.parametrize(("longer", "kept"), [("centre", "CGTA"), ("first", "ACGT")])
def test_long_sequences_are_cut_where_the_task_says_so(longer: str, kept: str, tmp_path: Path) -> None:
    (tmp_path / "rows.csv").write_text("sequence,label\nACGTAC,0\n")
    task = TASK.model_copy(update={"length": 4, "longer": longer})
    assert contents(read(tmp_path / "rows.csv", tmp_path, task)) == [(kept, "0")]
