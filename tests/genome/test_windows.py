"""The report of windows and overlaps tells what training will read."""

from hypothesis import given
from hypothesis import strategies as st

from hyena_ds.data.windows import WindowSet
from hyena_ds.genome.index import Region, Sequence, ShardIndex, Source
from hyena_ds.genome.windows import report_windows

SOURCE = Source(species="toy", assembly="toy", file="toy.fa", sha256="", composition={}, soft_masked=0)


def index_of(policy, sequences, **splits) -> ShardIndex:
    """An index without shards: `sequences` are (length, runs of N), splits are (sequence, start, end)."""
    empty = {"train": [], "valid": [], "test": []}
    return ShardIndex(
        policy=policy,
        sources=(SOURCE,),
        shards=(),
        sequences=tuple(
            Sequence(source=0, name=f"s{number}", length=length, records=(), n_runs=runs, soft_masked=0)
            for number, (length, runs) in enumerate(sequences)
        ),
        splits={
            split: tuple(Region(sequence=sequence, start=start, end=end) for sequence, start, end in regions)
            for split, regions in (empty | splits).items()
        },
    )


@st.composite
def sequences(draw):
    """A length and runs of N that neither touch nor overlap."""
    length = draw(st.integers(1, 120))
    edges = sorted(draw(st.sets(st.integers(0, length), max_size=6)))
    return length, tuple(zip(edges[0::2], edges[1::2], strict=False))


@st.composite
def indexes(draw):
    found = draw(st.lists(sequences(), min_size=1, max_size=3))
    regions = []
    for _ in range(draw(st.integers(0, 4))):
        sequence = draw(st.integers(0, len(found) - 1))
        start = draw(st.integers(0, found[sequence][0] - 1))
        regions.append((sequence, start, draw(st.integers(start + 1, found[sequence][0]))))
    return index_of(draw(st.sampled_from(["tile", "extend"])), found, train=regions)


@given(indexes(), st.integers(1, 150))
def test_the_report_counts_the_windows_that_training_reads(index, length):
    assert report_windows(index, length).windows["train"] == len(WindowSet(index, "train", length))


def test_extension_makes_splits_share_bases():
    index = index_of("extend", [(100, ())], train=[(0, 10, 20)], valid=[(0, 30, 40)])
    assert report_windows(index, None).shared["train", "valid"] == 0
    extended = report_windows(index, 40)
    assert extended.shared["train", "valid"] == 25  # [0, 40) and [15, 55)
    assert extended.windows == {"train": 1, "valid": 1, "test": 0}


def test_overlap_as_given_is_counted_under_either_policy():
    for policy in ("tile", "extend"):
        index = index_of(policy, [(100, ())], train=[(0, 10, 20), (0, 15, 30)], test=[(0, 18, 40)])
        assert report_windows(index, None).shared == {
            ("train", "valid"): 0,
            ("train", "test"): 12,
            ("valid", "test"): 0,
        }


def test_tiling_counts_the_published_test_windows():
    """The fixed test set of HyenaDNA: chr14 and chrX of hg38, the last window of each partial."""
    index = index_of(
        "tile",
        [(107_043_718, ()), (156_040_895, ())],
        test=[(0, 19_726_402, 106_677_047), (1, 2_825_622, 144_342_320)],
    )
    counts = [report_windows(index, length).windows["test"] for length in (1024, 32768, 131072, 10**6)]
    assert counts == [223_113, 6_973, 1_744, 229]
