"""Variant effects beside two full haplotypes, cut and scored by hand."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from hyena_ds.api import HyenaDNA
from hyena_ds.errors import InputError
from tests.inference.conftest import LAMBDA

CHROMOSOME = "gi|9626243|ref|NC_001416.1|"
HEADER = "##fileformat=VCFv4.2\n#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO\n"
WINDOW = 200


def write_vcf(path: Path, records: list[tuple[int, str, str]], chromosome: str = CHROMOSOME) -> Path:
    rows = [f"{chromosome}\t{position}\trs{position}\t{ref}\t{alt}\t.\t.\t.\n" for position, ref, alt in records]
    path.write_text(HEADER + "".join(rows))
    return path


def haplotypes(phage: str, position: int, reference: str, alternative: str, longest: int) -> tuple[str, str]:
    """Both alleles between the same flanks, the variant in the middle of WINDOW bases."""
    start, flanks = position - 1, WINDOW - longest
    left = phage[start - flanks // 2 : start]
    right = phage[start + len(reference) :][: flanks - len(left)]
    return left + reference + right, left + alternative + right


@pytest.mark.parametrize("both_strands", [False, True])
def test_every_kind_of_variant(model: HyenaDNA, phage: str, tmp_path: Path, both_strands: bool) -> None:
    base, other = phage[9_999], "A" if phage[9_999] != "A" else "C"
    third = "G" if base != "G" else "T"
    records = [
        (10_000, base, f"{other},{third}"),  # two substitutions
        (20_001, phage[20_000], phage[20_000] + "ACGTACGT"),  # an insertion
        (30_001, phage[30_000:30_013], phage[30_000]),  # a deletion
        (40_001, phage[40_000:40_003], f"{phage[40_000]},{phage[40_000]}TTTTT,T"),  # deletion, longer, other length
    ]
    vcf = write_vcf(tmp_path / "variants.vcf", records)
    found = model.variant_effect(LAMBDA, vcf, window=WINDOW, both_strands=both_strands)
    expected = []
    for position, reference, alternatives in records:
        longest = max(map(len, [reference, *alternatives.split(",")]))
        for alternative in alternatives.split(","):
            before, after = haplotypes(phage, position, reference, alternative, longest)
            scores = model.score([before, after], both_strands=both_strands, output="numpy")
            expected.append((position, alternative, scores[1] - scores[0]))
    assert isinstance(found, pd.DataFrame)
    assert found["position"].tolist() == [position for position, _, _ in expected]
    assert found["alternative"].tolist() == [alternative for _, alternative, _ in expected]
    np.testing.assert_allclose(found["effect"], [effect for _, _, effect in expected], atol=1e-4)
    assert (found["effect"].abs() > 1e-2).all()


def test_windows_are_moved_inside_at_the_ends_of_a_sequence(model: HyenaDNA, phage: str, tmp_path: Path) -> None:
    last = len(phage)
    records = [(1, phage[0], "T" if phage[0] != "T" else "A"), (last, phage[-1], "T" if phage[-1] != "T" else "A")]
    found = model.variant_effect(LAMBDA, write_vcf(tmp_path / "ends.vcf", records), window=WINDOW)
    expected = []
    for (position, _, alternative), window in zip(records, (phage[:WINDOW], phage[-WINDOW:]), strict=True):
        place = 0 if position == 1 else WINDOW - 1
        changed = window[:place] + alternative + window[place + 1 :]
        before, after = model.score([window, changed], output="numpy")
        expected.append(after - before)
    np.testing.assert_allclose(found["effect"], expected, atol=1e-4)
    assert found["window_bases"].tolist() == [WINDOW, WINDOW]


def test_a_reference_that_disagrees_is_refused_by_name(model: HyenaDNA, phage: str, tmp_path: Path) -> None:
    wrong = "A" if phage[499] != "A" else "C"
    vcf = write_vcf(tmp_path / "wrong.vcf", [(400, phage[399], "N"), (500, wrong, "T")])
    with pytest.raises(InputError, match=rf"record 2 .*:500 rs500\) has reference {wrong}, where .* has {phage[499]}"):
        model.variant_effect(LAMBDA, vcf)


def test_alleles_that_are_not_written_in_bases_have_a_note(model: HyenaDNA, phage: str, tmp_path: Path) -> None:
    other = "A" if phage[499] != "A" else "C"
    alternatives = ["<DEL>", other, "N", "R"]
    vcf = write_vcf(tmp_path / "symbolic.vcf", [(500, phage[499], ",".join(alternatives)), (600, phage[599], ".")])
    found = model.variant_effect(LAMBDA, vcf)
    assert found["alternative"].tolist() == alternatives
    assert found["effect"].isna().tolist() == [True, False, True, True]
    assert [note.startswith("not scored") for note in found["note"]] == [True, False, True, True]


def test_effects_are_written_in_parts(model: HyenaDNA, phage: str, tmp_path: Path) -> None:
    records = [(position, phage[position - 1], phage[position - 1] * 2) for position in range(1000, 3000, 100)]
    vcf = write_vcf(tmp_path / "many.vcf", records)
    expected = model.variant_effect(LAMBDA, vcf, window=WINDOW)
    path = tmp_path / "effects.parquet"
    model.variant_effect(LAMBDA, vcf, window=WINDOW, output=path, part_bases=1000)
    found = pd.read_parquet(path)
    assert found["position"].tolist() == expected["position"].tolist()
    np.testing.assert_allclose(found["effect"], expected["effect"], atol=1e-4)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("no vcf at all\n", "is no readable VCF from its header on: the first line is ##fileformat=VCF"),
        (HEADER, "holds no record with an alternative"),
        (HEADER + "chrX\t5\t.\tA\tC\t.\t.\t.\n", "record 1 .*no sequence 'chrX'"),
        (HEADER + f"{CHROMOSOME}\t48503\t.\tA\tC\t.\t.\t.\n", "record 1 .*ends beyond"),
        (HEADER + f"{CHROMOSOME}\t1\t.\tG\t{'A' * 1030}\t.\t.\t.\n", "an allele of 1,030 bases"),
    ],
)
def test_bad_files_are_one_clear_line(model: HyenaDNA, text: str, message: str, tmp_path: Path) -> None:
    path = tmp_path / "bad.vcf"
    path.write_text(text)
    with pytest.raises(InputError, match=message):
        model.variant_effect(LAMBDA, path)
