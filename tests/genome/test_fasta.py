"""FASTA access: the same bases from plain, gzip and bgzip files, through an index of our own."""

import gzip
import os
import struct
import zlib
from pathlib import Path

import pytest

from hyena_ds.errors import InputError
from hyena_ds.genome import fasta as fasta_module
from hyena_ds.genome.fasta import FastaReader, bare_name, open_fasta
from hyena_ds.genome.interval import Interval

CONTENT = b">chr1 first\nACGTacgt\nNNRYACGT\nAC\n>chr2\nTTTTGGGG\nCC\n"
SEQUENCES = {"chr1": b"ACGTacgtNNRYACGTAC", "chr2": b"TTTTGGGGCC"}
LAMBDA = Path(__file__).parents[1] / "data" / "lambda_virus.fa.gz"


def bgzip(content: bytes, block_bytes: int = 16) -> bytes:
    """BGZF: gzip members that carry their own size, then the empty end-of-file block."""

    def block(part: bytes) -> bytes:
        raw = zlib.compressobj(9, zlib.DEFLATED, -15)
        body = raw.compress(part) + raw.flush()
        header = b"\x1f\x8b\x08\x04\0\0\0\0\0\xff\x06\0BC\x02\0" + struct.pack("<H", len(body) + 25)
        return header + body + struct.pack("<II", zlib.crc32(part), len(part))

    parts = [content[start : start + block_bytes] for start in range(0, len(content), block_bytes)]
    return b"".join(map(block, [*parts, b""]))


@pytest.fixture
def said():
    return []


def opened(path: Path, tmp_path: Path, said: list[str]):
    return open_fasta(path, tmp_path / "cache", said.append)


def all_bases(fasta) -> dict[str, bytes]:
    with FastaReader(fasta) as reader:
        return {found.name: reader.bases(Interval(found.name, 0, found.length)) for found in fasta.scan.sequences}


@pytest.mark.parametrize("pack", [bytes, gzip.compress, bgzip], ids=["plain", "gzip", "bgzip"])
@pytest.mark.parametrize("line_end", [b"\n", b"\r\n"], ids=["LF", "CRLF"])
def test_every_kind_of_file_gives_the_same_bases(tmp_path, said, pack, line_end):
    path = tmp_path / ("genome.fa" if pack is bytes else "genome.fa.gz")
    path.write_bytes(pack(CONTENT.replace(b"\n", line_end)))
    fasta = opened(path, tmp_path, said)
    assert all_bases(fasta) == SEQUENCES
    with FastaReader(fasta) as reader:
        for start in range(18):
            for end in range(start + 1, 19):
                assert reader.bases(Interval("chr1", start, end)) == SEQUENCES["chr1"][start:end]
    assert sorted(tmp_path.iterdir()) == sorted([path, tmp_path / "cache"])


def test_a_compressed_file_is_unpacked_once(tmp_path, said):
    path = tmp_path / "genome.fa.gz"
    path.write_bytes(gzip.compress(CONTENT))
    plain = opened(path, tmp_path, said).plain
    written = plain.stat().st_mtime_ns
    assert opened(path, tmp_path, said).plain.stat().st_mtime_ns == written
    assert len(said) == 1
    assert str(plain) in said[0]


def test_a_changed_file_is_unpacked_anew(tmp_path, said):
    path = tmp_path / "genome.fa.gz"
    path.write_bytes(gzip.compress(CONTENT))
    opened(path, tmp_path, said)
    path.write_bytes(gzip.compress(CONTENT.replace(b"ACGTacgt", b"GGGGGGGG")))
    os.utime(path, ns=(1, 1))
    assert all_bases(opened(path, tmp_path, said))["chr1"].startswith(b"GGGGGGGG")


@pytest.mark.parametrize("damage", [lambda raw: raw[:-20], lambda raw: raw[:40] + b"\xff" * 8 + raw[48:]])
def test_damaged_gzip_is_refused_and_leaves_no_copy(tmp_path, said, damage):
    path = tmp_path / "genome.fa.gz"
    path.write_bytes(damage(LAMBDA.read_bytes()))
    with pytest.raises(InputError):
        opened(path, tmp_path, said)
    assert list((tmp_path / "cache").iterdir()) == []


@pytest.mark.parametrize(
    ("lie", "noticed"),
    [
        ("chr1\t18\t12\t8\t9\nchr2\t10\t39\t8\t9\n", False),
        ("chr1\t10\t12\t8\t9\nchr2\t10\t39\t8\t9\n", True),
        ("chr1\t18\t12\t8\t10\nchr2\t10\t39\t8\t9\n", True),
        ("chr1\t18\t12\t8\t9\n", True),
        ("", True),
    ],
)
def test_a_lying_index_is_not_believed_nor_touched(tmp_path, said, lie, noticed):
    path = tmp_path / "genome.fa"
    path.write_bytes(CONTENT)
    given = tmp_path / "genome.fa.fai"
    given.write_text(lie)
    assert all_bases(opened(path, tmp_path, said)) == SEQUENCES
    assert given.read_text() == lie
    assert [str(given) in line for line in said] == [True] * noticed


def test_the_true_index_is_that_of_samtools(tmp_path, said):
    path = tmp_path / "genome.fa"
    path.write_bytes(CONTENT)
    assert opened(path, tmp_path, said).index.read_text() == "chr1\t18\t12\t8\t9\nchr2\t10\t39\t8\t9\n"


def test_missing_empty_and_misnamed_files_are_refused(tmp_path, said):
    with pytest.raises(InputError, match="no FASTA file"):
        opened(tmp_path / "absent.fa", tmp_path, said)
    for name, content, reason in [("a.fa", b"", "is empty"), ("b.fa.gz", CONTENT, "is not gzip")]:
        (tmp_path / name).write_bytes(content)
        with pytest.raises(InputError, match=reason):
            opened(tmp_path / name, tmp_path, said)
    with pytest.raises(InputError, match="no FASTA file"):
        opened(tmp_path, tmp_path, said)


def test_names_lose_their_suffixes():
    assert [bare_name(Path(name)) for name in ("hg38.fa.gz", "mm10.fasta", "x.ml.fa", "y.fna.bgz")] == [
        "hg38",
        "mm10",
        "x.ml",
        "y",
    ]


def test_lambda_phage_is_whole(tmp_path, said):
    fasta = opened(LAMBDA, tmp_path, said)
    (bases,) = all_bases(fasta).values()
    assert len(bases) == 48_502
    assert bases.startswith(b"GGGCGGCGACCTCGCGGGTT")


def test_a_damaged_copy_of_a_compressed_file_is_made_again(tmp_path, said):
    path = tmp_path / "a.fa.gz"
    path.write_bytes(gzip.compress(CONTENT))
    copy = opened(path, tmp_path, said).plain
    copy.write_bytes(b">chr1 first\nACGTacgt\n")
    again = opened(path, tmp_path, said)
    assert all_bases(again) == SEQUENCES
    assert copy.read_bytes() == CONTENT
    assert "made again" in said[1]


def test_a_copy_appears_behind_its_index_and_only_of_a_usable_file(tmp_path, said, monkeypatch):
    copies, write = [], fasta_module._write_whole

    def noted(text: str, target: Path) -> None:
        copies.append(list((tmp_path / "cache").glob("*.fa")))
        write(text, target)

    monkeypatch.setattr(fasta_module, "_write_whole", noted)
    path = tmp_path / "a.fa.gz"
    path.write_bytes(gzip.compress(CONTENT))
    assert opened(path, tmp_path, said).plain.read_bytes() == CONTENT
    assert copies == [[]]
    kept = sorted((tmp_path / "cache").iterdir())
    for content in (gzip.compress(b""), gzip.compress(b"no header\n"), gzip.compress(CONTENT)[:-9]):
        path.write_bytes(content)
        with pytest.raises(InputError):
            opened(path, tmp_path, said)
    assert sorted((tmp_path / "cache").iterdir()) == kept
