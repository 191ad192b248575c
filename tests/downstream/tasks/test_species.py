"""Windows of species: drawn by their number alone, from their split's chromosomes, and read where they lie."""

import gzip
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest

from hyena_ds.downstream.dataset import ExampleSet
from hyena_ds.downstream.example import Example
from hyena_ds.downstream.genome_bases import GenomeBases
from hyena_ds.downstream.read import named_classes, read_examples
from hyena_ds.downstream.task import TaskConfig, TaskDataConfig
from hyena_ds.errors import InputError
from hyena_ds.genome.alphabet import PAD, SEP, decode

DATA = Path(__file__).resolve().parents[2] / "data"
TASK = TaskConfig(name="species", kind="multiclass")
# Chromosomes of the toy mouse and their bases; 2 and X train.
MOUSE = {"chr1": 400, "chr2": 1000, "chr5": 600, "chrX": 3000}


@pytest.fixture(scope="module")
def genomes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Lambda phage as one gzip record, a mouse of four files, and yeast's chromosomes I and II in one file."""
    directory = tmp_path_factory.mktemp("species")
    for name in ("lambda", "mouse", "yeast"):
        (directory / name).mkdir()
    (directory / "lambda" / "genome.fna.gz").write_bytes((DATA / "lambda_virus.fa.gz").read_bytes())
    generator = np.random.default_rng(0)
    for number, (name, length) in enumerate(MOUSE.items()):
        bases = "".join(generator.choice(list("acgt"), length))
        text = f">NC_00006{number}.7 Mus musculus\n{bases}\n"
        (directory / "mouse" / f"{name}.fna.gz").write_bytes(gzip.compress(text.encode()))
    text = b"".join(gzip.decompress((DATA / f"yeast_chr{number}.fa.gz").read_bytes()) for number in (1, 2))
    (directory / "yeast" / "genome.fa").write_bytes(text)
    return directory


def data(genomes: Path, **settings: object) -> TaskDataConfig:
    section = {
        "names": ("yeast", "lambda", "mouse"),
        "length": 500,
        "windows": (600, 60, 90),
        "by_position": ("yeast",),
    }
    return TaskDataConfig(train=str(genomes), format="species", species={**section, **settings})  # type: ignore[arg-type]


def read(genomes: Path, **settings: object) -> list[Example]:
    return read_examples(TASK, data(genomes, **settings), genomes / ".cache", lambda line: None)


def places(found: list[Example], split: str) -> list[str]:
    return [example.place for example in found if example.split == split]


def test_a_window_is_a_function_of_its_number(genomes: Path) -> None:
    found, again = read(genomes), read(genomes)
    assert [one.place for one in found] == [one.place for one in again]
    assert all(
        np.array_equal(one.tokens[:], other.tokens[:]) for one, other in zip(found[::40], again[::40], strict=True)
    )
    fewer = read(genomes, windows=(300, 60, 20))
    for split, count in (("train", 300), ("valid", 60), ("test", 20)):
        assert places(fewer, split) == places(found, split)[:count]
    assert places(read(genomes, seed=1), "test") != places(found, "test")
    assert len(set(places(found, "train"))) > 500
    assert named_classes(TASK, data(genomes)) == ("yeast", "lambda", "mouse")


def intervals(found: list[Example], species: str) -> dict[str, list[tuple[str, int, int]]]:
    kept: dict[str, list[tuple[str, int, int]]] = {"train": [], "valid": [], "test": []}
    for one in found:
        if one.label == (species,) and one.interval is not None:
            kept[str(one.split)].append((one.interval.sequence, one.interval.start, one.interval.end))
    return kept


def test_splits_are_chromosomes_by_list_or_stretches_by_position(genomes: Path) -> None:
    found = read(genomes)
    mouse = intervals(found, "mouse")
    assert [{name for name, _, _ in mouse[split]} for split in mouse] == [
        {"NC_000061.7", "NC_000063.7"},
        {"NC_000060.7"},
        {"NC_000062.7"},
    ]
    phage = intervals(found, "lambda")
    assert max(end for _, _, end in phage["train"]) <= round(0.8 * 48_502)
    assert {start / 48_502 >= 0.8 and end / 48_502 <= 0.9 for _, start, end in phage["valid"]} == {True}
    assert min(start for _, start, _ in phage["test"]) >= round(0.9 * 48_502)
    yeast = intervals(found, "yeast")
    assert all(len({name for name, _, _ in yeast[split]}) == 2 for split in yeast)
    with pytest.raises(InputError, match=r"yeast has no valid chromosome among .* data\.species\.by_position"):
        read(genomes, by_position=())


def test_short_chromosomes_are_filled_with_n_on_their_left(genomes: Path) -> None:
    window = next(one for one in read(genomes) if one.label == ("mouse",) and one.split == "valid")
    assert len(window.tokens) == 500
    text = decode(window.tokens[:])
    assert text[:100] == "N" * 100
    assert "N" not in text[100:]
    bases = gzip.decompress((genomes / "mouse/chr1.fna.gz").read_bytes()).decode().split("\n")[1].upper()
    assert text[100:] == bases
    assert decode(window.tokens[90:103]) == text[90:103]
    assert decode(window.tokens[450:900]) == text[450:]
    assert window.tokens[20:40].tolist() == window.tokens[60:80].tolist()


def test_tail_ends_stay_out(genomes: Path) -> None:
    kept = intervals(read(genomes, length=50, remove_tail_ends=True), "mouse")
    for name, start, end in kept["train"]:
        length = {"NC_000061.7": 1000, "NC_000063.7": 3000}[name]
        assert 0.1 * length <= start < end <= 0.9 * length
    assert all(120 <= start < end <= 480 for _, start, end in kept["test"])
    assert min(start for _, start, _ in kept["train"]) < 150


def shares(counts: Mapping[str, int]) -> dict[str, float]:
    return {name: count / sum(counts.values()) for name, count in counts.items()}


def test_weights_choose_species_and_chromosomes(genomes: Path) -> None:
    settings = {"length": 50, "windows": (4000, 1, 1)}
    alike = [one for one in read(genomes, **settings) if one.split == "train"]
    assert shares(Counter(one.label[0] for one in alike)) == pytest.approx(
        {"yeast": 1 / 3, "lambda": 1 / 3, "mouse": 1 / 3}, abs=0.03
    )
    weighted = read(genomes, species_weights=(1.0, 2.0, 5.0), chromosome_weights="bases", **settings)
    assert shares(Counter(one.label[0] for one in weighted)) == pytest.approx(
        {"yeast": 1 / 8, "lambda": 2 / 8, "mouse": 5 / 8}, abs=0.03
    )
    for found, share in ((alike, 0.5), (weighted, 0.25)):
        names = Counter(name for name, _, _ in intervals(found, "mouse")["train"])
        assert shares(names)["NC_000061.7"] == pytest.approx(share, abs=0.04)


def test_batches_read_no_more_than_they_hold(genomes: Path) -> None:
    found = read(genomes, length=40_000, windows=(4, 1, 1), names=("lambda", "yeast"))
    longest = next(one for one in found if one.label == ("yeast",))
    assert isinstance(longest.tokens, GenomeBases)
    batch = ExampleSet([longest.tokens], [np.array(0)], False).batch(
        np.array([0]), width=18, length=16, reverse=np.array([False]), samples=np.array([0])
    )
    assert batch.tokens[0].tolist() == [*longest.tokens[:][19_992:20_008], SEP, PAD]


def test_what_cannot_be_drawn_is_named(genomes: Path) -> None:
    with pytest.raises(InputError, match=r"no FASTA files in .*/dog"):
        read(genomes, names=("dog", "mouse"), by_position=())
    with pytest.raises(ValueError, match=r"names=\['mouse', 'mouse'\] has mouse twice"):
        data(genomes, names=("mouse", "mouse"), by_position=())
    with pytest.raises(ValueError, match=r"by_position has yeats, which names=\['yeast', 'lambda', 'mouse'\] does not"):
        data(genomes, by_position=("yeast", "yeats"))
    with pytest.raises(ValueError, match=r"species_weights=.* must hold a number above 0 for each"):
        data(genomes, species_weights=(1.0,))
    with pytest.raises(ValueError, match="each needs the other"):
        TaskDataConfig(train=str(genomes), format="species")
