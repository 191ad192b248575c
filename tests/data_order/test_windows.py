import numpy as np
import pytest

from hyena_ds.data.windows import WindowSet, evenly_spaced, validation_windows
from hyena_ds.errors import InputError


def all_bounds(windows):
    return list(zip(*(column.tolist() for column in windows.bounds(np.arange(len(windows)))), strict=True))


def plain_tiles(genome, split, length):
    """The windows by the definition: cut, look at the bases, drop those of nothing but N."""
    kept = []
    for region in genome.index.splits[split]:
        for start in range(region.start, region.end, length):
            end = min(start + length, region.end)
            if genome.bases[region.sequence][start:end].strip(b"N"):
                kept.append((region.sequence, start, end))
    return kept


@pytest.mark.parametrize("length", [1, 7, 64, 1000, 2**14, 399_999, 10**7])
def test_tiles_cover_every_base_but_those_in_windows_of_n(write_genome, random_bases, length):
    bases = [random_bases(5_003, 1, ((0, 130), (2_000, 2_001), (2_500, 3_600), (4_990, 5_003))), b"N" * 300]
    regions = {"train": [(0, 0, 2_100), (0, 2_600, 3_590), (0, 3_001, 5_003), (1, 0, 300)]}
    genome = write_genome("genome", bases, regions=regions)
    windows = WindowSet(genome.index, "train", length)
    assert all_bounds(windows) == plain_tiles(genome, "train", length)
    total = sum(-(-(end - start) // length) for _, start, end in regions["train"])
    assert windows.dropped == total - len(windows) > 0


def test_extend_centres_extends_cuts_and_shifts_inside(write_genome, random_bases):
    regions = {
        "train": [
            (0, 500, 510),  # extended by 45 on both sides
            (0, 500, 511),  # 89 to add: the right side takes the odd base
            (0, 400, 600),  # the middle 100 of 200
            (0, 3, 9),  # would begin before base 0
            (0, 990, 1_000),  # would end after the last base
            (1, 5, 10),  # the chromosome is shorter than the window
        ]
    }
    genome = write_genome("genome", [random_bases(1_000, 1), random_bases(60, 2)], regions=regions, policy="extend")
    windows = WindowSet(genome.index, "train", 100)
    assert all_bounds(windows) == [
        (0, 455, 555),
        (0, 456, 556),
        (0, 450, 550),
        (0, 0, 100),
        (0, 900, 1_000),
        (1, 0, 60),
    ]


def test_extended_window_of_n_is_dropped(write_genome, random_bases):
    regions = {"train": [(0, 100, 110), (0, 300, 310), (0, 395, 405)], "valid": [(0, 300, 310)]}
    genome = write_genome("genome", [random_bases(500, 1, ((250, 360),))], regions=regions, policy="extend")
    windows = WindowSet(genome.index, "train", 100)
    assert all_bounds(windows) == [(0, 55, 155), (0, 350, 450)]
    assert windows.dropped == 1
    assert len(WindowSet(genome.index, "train", 130)) == 3
    assert len(WindowSet(genome.index, "valid", 100)) == 0


def test_species_have_their_own_windows(write_genome, random_bases):
    bases = [random_bases(1_000, 1), random_bases(500, 2), random_bases(300, 3)]
    genome = write_genome("genome", bases, species=["yeast", "virus", "yeast"])
    assert all_bounds(WindowSet(genome.index, "train", 400, "virus")) == [(1, 0, 400), (1, 400, 500)]
    assert {place[0] for place in all_bounds(WindowSet(genome.index, "train", 400, "yeast"))} == {0, 2}
    with pytest.raises(InputError, match="no species 'worm'; it has yeast, virus"):
        WindowSet(genome.index, "train", 400, "worm")


def test_unknown_split_and_policy_are_named(genome):
    with pytest.raises(InputError, match="no split 'valid'; it has train"):
        WindowSet(genome.index, "valid", 100)
    with pytest.raises(InputError, match="policy 'stack'"):
        WindowSet(genome.index.model_copy(update={"policy": "stack"}), "train", 100)


def test_window_outside_is_refused(genome):
    windows = WindowSet(genome.index, "train", 1_000)
    with pytest.raises(IndexError):
        windows.bounds(np.array([len(windows)]))


@pytest.mark.parametrize(("count", "limit"), [(10, 3), (3, 10), (1, 1), (1000, 256), (5, 5)])
def test_evenly_spaced_numbers(count, limit):
    chosen = evenly_spaced(count, limit)
    assert len(chosen) == min(count, limit)
    assert chosen.min() >= 0
    assert chosen.max() < count
    gaps = np.diff(chosen)
    assert not len(gaps) or (gaps.min() > 0 and gaps.max() - gaps.min() <= 1)


def test_validation_windows_are_by_species_and_fixed(write_genome, random_bases):
    bases = [random_bases(1_000, 1), random_bases(500, 2)]
    regions = {"train": [(0, 0, 500)], "valid": [(0, 500, 1_000), (1, 0, 500)], "test": []}
    genome = write_genome("genome", bases, species=["yeast", "virus"], regions=regions)
    scored = validation_windows(genome.index, "valid", 100, 2)
    assert {name: chosen.tolist() for name, (_, chosen) in scored.items()} == {"yeast": [1, 3], "virus": [1, 3]}
    assert scored["virus"][0].bounds(np.array([1]))[0].tolist() == [1]
    with pytest.raises(InputError, match="the test split holds no window"):
        validation_windows(genome.index, "test", 100, 2)
