"""What a benchmark tests on never stands in what its model was pretrained on."""

from pathlib import Path

import numpy as np
import pytest

from benchmarks import held_out
from benchmarks.held_out import find_places, without, write_intervals
from hyena_ds.data.windows import WindowSet
from hyena_ds.genome.alphabet import N, decode, reverse_complement
from hyena_ds.genome.fasta import open_fasta
from hyena_ds.genome.index import read_index
from hyena_ds.genome.interval import Interval
from hyena_ds.genome.splits import shared_bases
from preprocessing.shard import main as shard_main
from tests.downstream.conftest import launched


def random_bases(count: int, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(7, 11, count).astype(np.uint8)


@pytest.fixture
def planted(monkeypatch: pytest.MonkeyPatch) -> tuple[np.ndarray, list[np.ndarray], list[Interval]]:
    """A genome with three sequences in it, two of them twice or turned, and one that is all but there."""
    monkeypatch.setattr(held_out, "CHUNK_BASES", 500)
    genome, sequences = random_bases(3000, 0), [random_bases(length, length) for length in (60, 90, 40, 70)]
    sequences[1][5] = N
    plan = [(0, 100, False), (0, 460, True), (1, 980, False), (1, 2910, True), (2, 1500, True)]
    for number, start, turned in plan:
        bases = sequences[number]
        genome[start : start + len(bases)] = reverse_complement(bases) if turned else bases
    genome[2000:2070] = sequences[3]
    genome[2069] = (genome[2069] - 7 + 1) % 4 + 7
    places = [Interval("20", start, start + len(sequences[number])) for number, start, _ in plan]
    return genome, sequences, sorted(places)


def test_every_place_of_either_strand_is_found(
    planted: tuple[np.ndarray, list[np.ndarray], list[Interval]],
) -> None:
    genome, sequences, places = planted
    assert find_places("20", genome, sequences) == places
    genome[1510] = N
    assert find_places("20", genome, sequences) == [place for place in places if place.start != 1500]
    with pytest.raises(ValueError, match="sequence 1 has no 31 known bases"):
        find_places("20", genome, [sequences[0], sequences[1][:34]])


def test_what_is_left_is_all_but_what_is_held_out() -> None:
    whole = Interval("20", 100, 200)
    held = [Interval("20", start, end) for start, end in ((150, 160), (90, 110), (155, 170), (195, 230))]
    assert [(one.start, one.end) for one in without(whole, held)] == [(110, 150), (170, 195)]
    assert without(whole, []) == [whole]
    assert without(whole, [Interval("20", 0, 300)]) == []
    assert without(whole, [Interval("20", 250, 300)]) == [whole]


def test_no_training_window_holds_a_base_that_was_held_out(
    planted: tuple[np.ndarray, list[np.ndarray], list[Interval]], tmp_path: Path
) -> None:
    genome, sequences, places = planted
    (tmp_path / "20.fa").write_text(f">20\n{decode(genome)}\n")
    fasta = open_fasta(tmp_path / "20.fa", tmp_path / ".fasta_cache", print)
    texts = [decode(sequence) for sequence in sequences]
    told = write_intervals(tmp_path / "intervals.bed", fasta, 2950, texts, 450 / 2950)
    places[-1] = Interval("20", 2910, 2950)  # of which the rest is behind the end
    lost = sum(place.length for place in places)
    assert told == {"sequences": 4, "places": 5, "bases": 2950, "bases_left": 2950 - lost}
    words = ["--fasta", tmp_path / "20.fa", "--bed", tmp_path / "intervals.bed", "--policy", "tile"]
    launched(shard_main, *words, "--output", tmp_path / "shards")
    index = read_index(tmp_path / "shards")
    for split, length in (("train", 2500), ("valid", 450)):
        windows = WindowSet(index, split, 64)
        _, starts, ends = windows.bounds(np.arange(len(windows)))
        found = [Interval("20", int(start), int(end)) for start, end in zip(starts, ends, strict=True)]
        assert shared_bases(found, places) == 0
        held = sum(place.length for place in places if (place.end < 2500) == (split == "train"))
        assert sum(window.length for window in found) == length - held
