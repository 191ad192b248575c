"""Perplexity on windows: every target once, in the class it belongs to."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from hyena_ds.api import HyenaDNA
from hyena_ds.errors import InputError
from hyena_ds.genome.alphabet import A, T, encode
from hyena_ds.genome.interval import Interval
from hyena_ds.inference.evaluation import GC_CLASSES, OTHERS, REPEATS, gc_class
from hyena_ds.inference.evaluation_plot import plot_evaluation
from hyena_ds.inference.evaluation_windows import PUBLISHED, PUBLISHED_REGIONS, EvaluationWindows, regions_of
from hyena_ds.inference.genome_access import Genome
from tests.inference.conftest import DATA, LAMBDA

# Rows of the published hg38 intervals (calico/basenji, Apache-2.0), and the lengths of their chromosomes in GRCh38.
HG38_SLICE = DATA / "basenji_hg38_slice.bed"
HG38_LENGTHS = {"1": 248_956_422, "10": 133_797_422, "13": 114_364_328, "14": 107_043_718, "X": 156_040_895}


@pytest.mark.parametrize(
    ("length", "chr14", "chrx"),
    [(1_024, 84_913, 138_200), (32_768, 2_654, 4_319), (131_072, 664, 1_080), (1_000_000, 87, 142)],
)
def test_the_published_windows(length: int, chr14: int, chrx: int) -> None:
    windows = EvaluationWindows(PUBLISHED_REGIONS, length)
    assert windows.firsts.tolist() == [0, chr14, chr14 + chrx]
    assert windows[0] == Interval("chr14", 19_726_402, 19_726_402 + length)
    assert windows[chr14] == Interval("chrX", 2_825_622, 2_825_622 + length)
    assert windows[len(windows) - 1].end == 144_342_320
    assert sum(window.length for window in windows.chosen(None)) == 86_950_645 + 141_516_698


def test_the_published_windows_and_intervals_of_the_human_genome() -> None:
    genome = Genome(Path("hg38.fa"), HG38_LENGTHS, reader=None)  # type: ignore[arg-type]
    assert [region.sequence for region in regions_of(genome, PUBLISHED)] == ["14", "X"]
    tested = regions_of(genome, HG38_SLICE)
    rows = [line.split("\t") for line in HG38_SLICE.read_text().splitlines()]
    expected = [(name.removeprefix("chr"), int(start), int(end)) for name, start, end, split in rows if split == "test"]
    assert [(region.sequence, region.start, region.end) for region in tested] == expected
    assert len(EvaluationWindows(tested, 131_072)) == 8 * len(expected)
    assert len(EvaluationWindows(tested, 1_000_000)) == 2 * len(expected)


def test_the_published_intervals_on_another_genome(model: HyenaDNA) -> None:
    with pytest.raises(InputError, match=r"basenji_hg38_slice.bed line 1: .*is it the BED of another assembly"):
        model.evaluate(DATA / "yeast_chr1.fa.gz", regions=HG38_SLICE, length=1000)


@pytest.fixture
def genome(tmp_path: Path, phage: str) -> tuple[Path, str]:
    """Two sequences with soft-masking and N, as a file and joined."""
    first, second = phage[:2000].lower() + phage[2000:3000] + "N" * 500, phage[20_000:21_111]
    path = tmp_path / "mixed.fa"
    path.write_text(f">one\n{first}\n>two\n{second}\n")
    return path, first + "|" + second


def test_every_target_counts_once(model: HyenaDNA, genome: tuple[Path, str]) -> None:
    path, text = genome
    found = model.evaluate(path, length=300)
    windows = [part[start : start + 300] for part in text.split("|") for start in range(0, len(part), 300)]
    windows = [window for window in windows if set(window[1:]) - {"N"}]
    nats: dict[str, list[float]] = {REPEATS: [], OTHERS: []}
    for window in windows:
        tokens = torch.from_numpy(encode(window.encode())).long()
        losses = -model.frozen.model(tokens[None])[0, :-1].log_softmax(dim=1).gather(1, tokens[1:, None])[:, 0]
        for base, token, loss in zip(window[1:], tokens[1:].tolist(), losses.tolist(), strict=True):
            if A <= token <= T:
                nats[REPEATS if base.islower() else OTHERS].append(loss)
    assert found.windows == len(windows)
    assert found.repeat[REPEATS].bases == len(nats[REPEATS])
    assert found.repeat[OTHERS].perplexity == pytest.approx(np.exp(np.mean(nats[OTHERS])), rel=1e-5)
    assert found.total.perplexity == pytest.approx(np.exp(np.mean(nats[REPEATS] + nats[OTHERS])), rel=1e-5)
    for tallies in (found.species, found.repeat, found.gc, found.contexts()):
        assert sum(tally.bases for tally in tallies.values()) == found.total.bases
        assert sum(tally.nats for tally in tallies.values()) == pytest.approx(found.total.nats)


def test_contexts_and_ends_of_the_window(model: HyenaDNA) -> None:
    found = model.evaluate(LAMBDA, length=100, windows=20)
    assert found.windows == 20
    assert found.context_bases.tolist() == [0] + [20] * 99
    contexts = found.contexts()
    assert [(name, tally.bases) for name, tally in contexts.items()][:3] == [("1", 20), ("2 to 3", 40), ("4 to 7", 80)]
    assert list(contexts)[-1] == "64 to 99"
    last = found.last()
    assert (last["last 1"].bases, last["last 50"].bases) == (20, 1000)
    assert last["last 50"].nats == pytest.approx(found.context_nats[50:].sum())


def test_species_and_regions(model: HyenaDNA, genome: tuple[Path, str], tmp_path: Path) -> None:
    path, _ = genome
    both = model.evaluate({"mixed": path, "phage": LAMBDA}, length=200, windows=5)
    alone = model.evaluate({"phage": LAMBDA}, length=200, windows=5)
    assert list(both.species) == ["mixed", "phage"]
    assert both.species["phage"].nats == pytest.approx(alone.total.nats)
    bed = tmp_path / "test.bed"
    bed.write_text("one\t0\t400\ttrain\none\t500\t900\ttest\n")
    chosen = model.evaluate(path, regions=bed, length=200)
    assert chosen.total.nats == pytest.approx(
        model.evaluate(path, regions=[Interval("one", 500, 900)], length=200).total.nats
    )
    assert chosen.total.bases == 398


@pytest.mark.parametrize(("bases", "name"), [("AATT", 0), ("AAAC" * 5, 0), ("AACGT" * 4, 2), ("ACGT", 4), ("GGGC", 5)])
def test_gc_classes(bases: str, name: int) -> None:
    assert gc_class(encode(bases.encode())) == GC_CLASSES[name]


def test_table_document_and_picture(model: HyenaDNA, tmp_path: Path) -> None:
    found = model.evaluate(LAMBDA, length=200, windows=10)
    table = found.table()
    assert list(table.columns) == ["by", "class", "bases", "perplexity", "bits_per_base"]
    np.testing.assert_allclose(2 ** table["bits_per_base"], table["perplexity"])
    document = json.loads(json.dumps(found.document()))
    assert document["context"] == list(range(1, 200))
    plot_evaluation(found, "tests", tmp_path / "plot.png")
    assert (tmp_path / "plot.png").read_bytes().startswith(b"\x89PNG")


def test_the_published_regions_of_another_genome(model: HyenaDNA) -> None:
    with pytest.raises(InputError, match="published test regions are of the human genome"):
        model.evaluate(LAMBDA, regions="published")


def test_nothing_to_score(model: HyenaDNA, tmp_path: Path) -> None:
    (tmp_path / "n.fa").write_text(">n\nNNNNNNNN\n")
    with pytest.raises(InputError, match="no A, C, G or T"):
        model.evaluate(tmp_path / "n.fa")
