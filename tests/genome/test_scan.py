"""The streaming pass: what it counts, where lines lie, and all that it refuses."""

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hyena_ds.errors import InputError
from hyena_ds.genome.scan import scan_blocks


def scan(content: bytes, block: int = 2**20):
    return scan_blocks((content[start : start + block] for start in range(0, len(content), block)), "genome.fa")


def refusal(content: bytes, block: int = 2**20) -> str:
    with pytest.raises(InputError) as caught:
        scan(content, block)
    message = str(caught.value)
    assert "\n" not in message
    return message


@st.composite
def fasta_files(draw):
    """Names, sequences, line width, line end and whether the last line ends, with the bytes they make."""
    letters = st.text(alphabet="ACGTNacgtnRYUkm", min_size=1, max_size=60)
    sequences = draw(st.lists(letters, min_size=1, max_size=4))
    width = draw(st.integers(1, 20))
    end = draw(st.sampled_from([b"\n", b"\r\n"]))
    parts = []
    for number, sequence in enumerate(sequences):
        lines = [sequence[start : start + width].encode() for start in range(0, len(sequence), width)]
        parts += [b">s%d some words > more" % number, *lines]
    content = end.join(parts) + (end if draw(st.booleans()) else b"")
    return sequences, content


@given(fasta_files(), st.integers(1, 40))
def test_counts_and_places_hold_at_any_block_size(file, block):
    sequences, content = file
    found = scan(content, block)
    text = "".join(sequences)
    assert [sequence.length for sequence in found.sequences] == [len(sequence) for sequence in sequences]
    assert found.sha256 == hashlib.sha256(content).hexdigest()
    assert found.soft_masked == sum(letter.islower() for letter in text)
    assert {base: found.composition[base] for base in "ACGT"} == {base: text.upper().count(base) for base in "ACGT"}
    assert sum(found.composition.values()) == found.bases == len(text)
    assert found.ambiguous == {code: text.upper().count(code) for code in "RYKMU" if code in text.upper()}


@given(fasta_files(), st.integers(1, 40))
def test_the_index_leads_to_every_base(file, block):
    sequences, content = file
    for sequence, found in zip(sequences, scan(content, block).sequences, strict=True):
        for position, letter in enumerate(sequence):
            line, column = divmod(position, found.line_bases)
            assert content[found.offset + line * found.line_width + column] == ord(letter)


@pytest.mark.parametrize("block", [1, 3, 2**20])
def test_letters_that_are_no_nucleotide_are_named_with_their_place(block):
    assert "line 3: 'chr1' base 6 is '-'" in refusal(b">chr1\nACGT\nA-GT\n", block)
    assert "base 3 is ' '" in refusal(b">chr1\nAC GT\n", block)
    assert "byte 0xe9" in refusal(b">chr1\nAC\xe9T\n", block)
    assert "base 3 is '>'" in refusal(b">chr1\nAC>T\n", block)


@pytest.mark.parametrize("block", [1, 4, 2**20])
def test_protein_is_refused_as_such(block):
    assert "protein" in refusal(b">P0CE48\nMSKEKFERTKPHVNVGTIGHVDHGKTTLTAAITTVLAKTYGG\n", block)


@pytest.mark.parametrize("block", [1, 4, 2**20])
@pytest.mark.parametrize("content", [b">chr1\rACGT\rACGT\r", b">chr1\nACGT\rACGT\r", b">chr1\nACGT\nAC\r", b">chr1\r"])
def test_cr_only_line_ends_are_refused(content, block):
    assert "CR without LF" in refusal(content, block)


@pytest.mark.parametrize("block", [1, 4, 2**20])
def test_nul_bytes_are_refused(block):
    assert "base 3 is a NUL byte" in refusal(b">chr1\nAC\0T\n", block)
    assert "NUL byte in a header" in refusal(b">ch\0r1\nACT\n", block)


def test_names_must_be_there_and_distinct():
    assert "line 3: sequence 'chr1' stands twice" in refusal(b">chr1 first\nAC\n>chr1 second\nGT\n")
    assert "without a name" in refusal(b">\nACGT\n")
    assert "without a name" in refusal(b"> chr1\nACGT\n")


@pytest.mark.parametrize("content", [b">chr1\n>chr2\nAC\n", b">chr2\nAC\n>chr1\n", b">chr2\nAC\n>chr1", b">chr1\n\n\n"])
def test_empty_records_are_refused(content):
    assert "'chr1' is empty" in refusal(content)


@pytest.mark.parametrize("content", [b"ACGT\n", b"\nACGT\n>chr1\nAC\n", b"<html>", b"BZh91AY&SY"])
def test_what_is_no_fasta_is_refused(content):
    assert "not FASTA" in refusal(content)


def test_nothing_at_all_is_refused():
    assert "is empty" in refusal(b"")
    assert "no FASTA record" in refusal(b"\n\n")


@pytest.mark.parametrize("block", [1, 3, 2**20])
@pytest.mark.parametrize(
    "content",
    [
        b">c\nACGT\nACG\nACGT\n",
        b">c\nACG\nACGT\n",
        b">c\nAC\n\nAC\n",
        b">c\nACGT\nACG\nACGT",
        b">c\nACGT\r\nACGT\nACGT\n",
    ],
)
def test_ragged_lines_are_refused(content, block):
    assert "differ in length" in refusal(content, block)


@pytest.mark.parametrize("block", [1, 3, 2**20])
@pytest.mark.parametrize("content", [b"\n>c\nACGT\nAC\n\n\n>d\nGG\n\n", b">c\r\nACGT\r\nAC\r\n\r\n>d\r\nGG"])
def test_blank_lines_between_records_do_no_harm(content, block):
    assert [(found.name, found.length) for found in scan(content, block).sequences] == [("c", 6), ("d", 2)]
