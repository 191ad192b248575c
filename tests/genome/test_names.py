"""Chromosome aliases."""

import pytest

from hyena_ds.errors import InputError
from hyena_ds.genome.names import resolve


@pytest.mark.parametrize(
    ("written", "known", "meant"),
    [
        ("20", ["chr2", "chr20"], "chr20"),
        ("chr20", ["2", "20"], "20"),
        ("chrM", ["1", "MT"], "MT"),
        ("MT", ["chr1", "chrM"], "chrM"),
        ("x", ["chrX", "chrY"], "chrX"),
        ("chrI", ["chrI", "chrII"], "chrI"),
        ("20", ["20", "chr20"], "20"),
    ],
)
def test_a_name_means_its_alias(written, known, meant):
    assert resolve(written, known) == meant


def test_an_unknown_name_is_refused_with_near_ones():
    with pytest.raises(InputError, match=r"'chr22'.*chr2"):
        resolve("chr22", ["chr1", "chr2", "scaffold_9"])


def test_several_candidates_are_refused():
    with pytest.raises(InputError, match="chrMT or chrM"):
        resolve("MT", ["chrMT", "chrM"])
