"""The alphabet: public token ids, encode and decode as inverses, the opposite strand."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from hyena_ds.genome.alphabet import BASES, TOKEN_IDS, UNK, decode, encode, reverse_complement

sequences = st.text(alphabet="ACGTN", max_size=200)


def test_ids_are_the_published_ones():
    assert {base: TOKEN_IDS[base] for base in BASES} == {"A": 7, "C": 8, "G": 9, "T": 10, "N": 11}
    assert [TOKEN_IDS[name] for name in ("[CLS]", "[SEP]", "[BOS]", "[MASK]", "[PAD]", "[UNK]")] == [0, 1, 2, 3, 4, 6]


@given(sequences)
def test_decode_inverts_encode(sequence):
    assert decode(encode(sequence.encode())) == sequence


@given(sequences)
def test_lower_case_is_never_unknown(sequence):
    assert np.array_equal(encode(sequence.lower().encode()), encode(sequence.encode()))


def test_other_letters_are_unknown():
    assert encode(b"RX.").tolist() == [UNK] * 3


def test_reverse_complement_keeps_n():
    assert decode(reverse_complement(encode(b"ACGTN"))) == "NACGT"
    assert decode(reverse_complement(encode(b"AACCG"))) == "CGGTT"


@given(sequences)
def test_reverse_complement_is_its_own_inverse(sequence):
    tokens = encode(sequence.encode())
    assert np.array_equal(reverse_complement(reverse_complement(tokens)), tokens)


def test_reverse_complement_works_along_the_last_axis():
    tokens = np.stack([encode(b"AAC"), encode(b"GTN")])
    assert [decode(row) for row in reverse_complement(tokens)] == ["GTT", "NAC"]
