"""The alphabet of the published HyenaDNA models: bases, special tokens and their ids."""

import numpy as np

SPECIAL_TOKENS = ("[CLS]", "[SEP]", "[BOS]", "[MASK]", "[PAD]", "[RESERVED]", "[UNK]")
BASES = ("A", "C", "G", "T", "N")
TOKEN_IDS = {token: number for number, token in enumerate(SPECIAL_TOKENS + BASES)}
VOCABULARY_SIZE = len(TOKEN_IDS)
PADDED_VOCABULARY_SIZE = 16

SEP = TOKEN_IDS["[SEP]"]
PAD = TOKEN_IDS["[PAD]"]
UNK = TOKEN_IDS["[UNK]"]
A, C, G, T, N = (TOKEN_IDS[base] for base in BASES)

# IUPAC nucleotide codes (Cornish-Bowden 1985) other than A, C, G, T become N in every pipeline.
AMBIGUITY_CODES = "RYSWKMBDHVNU"


def _encode_table() -> np.ndarray:
    table = np.full(256, UNK, dtype=np.uint8)
    for base in BASES:
        table[ord(base)] = TOKEN_IDS[base]
        table[ord(base.lower())] = TOKEN_IDS[base]
    return table


def _complement_table() -> np.ndarray:
    table = np.arange(256, dtype=np.uint8)
    for left, right in ((A, T), (C, G)):
        table[left], table[right] = right, left
    return table


_ENCODE = _encode_table()
_COMPLEMENT = _complement_table()


def encode(sequence: bytes | np.ndarray) -> np.ndarray:
    """Token ids, uint8, of ASCII bases of either case; other characters become [UNK]."""
    raw = np.frombuffer(sequence, dtype=np.uint8) if isinstance(sequence, bytes) else sequence
    tokens: np.ndarray = _ENCODE[raw]
    return tokens


def decode(tokens: np.ndarray) -> str:
    """The inverse of `encode`: special tokens appear by name."""
    names = list(TOKEN_IDS)
    return "".join(names[int(token)] for token in tokens)


def reverse_complement(tokens: np.ndarray) -> np.ndarray:
    """The opposite strand of uint8 token ids along the last axis; N and special tokens stay."""
    opposite: np.ndarray = _COMPLEMENT[tokens[..., ::-1]]
    return opposite
