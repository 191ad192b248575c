"""BED files: what is read, what is tolerated, what is refused with its line."""

import gzip

import pytest

from hyena_ds.errors import InputError
from hyena_ds.genome.bed import place_bed, read_bed
from hyena_ds.genome.interval import Interval

LENGTHS = {"chr1": 1000, "chr2": 500, "chrM": 60}


def bed(tmp_path, text: str):
    path = tmp_path / "intervals.bed"
    path.write_bytes(text.encode())
    return path


def test_four_columns_name_the_split(tmp_path):
    path = bed(
        tmp_path, "chr1\t0\t10\ttrain\nchr1\t20\t30\tvalid\n2\t5\t9\ttest\nMT\t0\t60\tval\nchr1\t1\t2\tVALIDATION\n"
    )
    placed = place_bed(path, LENGTHS)
    assert [(line.interval, line.split) for line in placed] == [
        (Interval("chr1", 0, 10), "train"),
        (Interval("chr1", 20, 30), "valid"),
        (Interval("chr2", 5, 9), "test"),
        (Interval("chrM", 0, 60), "valid"),
        (Interval("chr1", 1, 2), "valid"),
    ]


def test_three_columns_train(tmp_path):
    assert [line.split for line in read_bed(bed(tmp_path, "chr1\t0\t10\nchr2\t3\t4\n"))] == ["train", "train"]


def test_more_columns_are_left_alone(tmp_path):
    (line,) = read_bed(bed(tmp_path, "chr1\t0\t10\ttest\tname\t0\t+\n"))
    assert (line.interval, line.split) == (Interval("chr1", 0, 10), "test")


def test_headers_comments_blanks_and_crlf_are_tolerated(tmp_path):
    header = ["\ufeff#made by hand", "track name=x", "browser position chr1", "", "chrom\tstart\tend\tsplit"]
    text = "\r\n".join([*header, "chr1\t0\t10\ttest", ""])
    (line,) = read_bed(bed(tmp_path, text))
    assert (line.number, line.interval, line.split) == (6, Interval("chr1", 0, 10), "test")


def test_spaces_may_separate(tmp_path):
    assert read_bed(bed(tmp_path, "chr1 0 10 test\n"))[0].split == "test"


def test_gzip_is_read(tmp_path):
    path = tmp_path / "intervals.bed.gz"
    path.write_bytes(gzip.compress(b"chr1\t0\t10\ttest\n"))
    assert read_bed(path)[0].interval == Interval("chr1", 0, 10)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("chr1\t0\t10\n#\nchr1\t990\t1001\n", r"line 3: chr1:990-1,001 ends beyond chr1, which has 1,000 bases"),
        ("chr1\t0\t10\nchr11\t0\t10\n", r"line 2: no sequence 'chr11'; near names are chr1"),
        ("chr1\t10\t10\n", "line 1: .*ends at or before its start"),
        ("chr1\t-1\t10\n", "line 1: .*starts before"),
        ("chr1\t0\t10\nchr1\tx\t10\n", "line 2: .*is not chromosome, start, end"),
        ("chr1\t0\n", "line 1: .*is not chromosome, start, end"),
        ("chr1\t0\t10\tgene1\n", "line 1: split 'gene1'"),
        ("chr1\t0\t10\ttest\nchr1\t0\t10\n", "line 2: 3 columns"),
        ("# nothing\n", "holds no interval"),
        ("", "holds no interval"),
    ],
)
def test_what_cannot_be_placed_is_refused_with_its_line(tmp_path, text, reason):
    with pytest.raises(InputError, match=reason):
        place_bed(bed(tmp_path, text), LENGTHS)


def test_a_missing_or_binary_file_is_refused(tmp_path):
    with pytest.raises(InputError, match="no BED file"):
        read_bed(tmp_path / "absent.bed")
    (tmp_path / "binary.bed").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(InputError, match="no BED text"):
        read_bed(tmp_path / "binary.bed")
