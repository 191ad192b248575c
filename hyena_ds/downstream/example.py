"""One labelled sequence, checked the moment it is read."""

from dataclasses import dataclass, field
from typing import Protocol

import numpy as np

from hyena_ds.errors import InputError
from hyena_ds.genome.alphabet import AMBIGUITY_CODES, BASES, encode
from hyena_ds.genome.interval import Interval

AMBIGUOUS = bytes.maketrans((AMBIGUITY_CODES + AMBIGUITY_CODES.lower()).encode(), b"N" * (2 * len(AMBIGUITY_CODES)))
KNOWN = np.isin(np.arange(256), list(("".join(BASES) + "".join(BASES).lower()).encode()))


class Bases(Protocol):
    """Tokens uint8 [L], in memory (an array) or in a file until a slice of them is taken."""

    def __len__(self) -> int: ...

    def __getitem__(self, part: slice, /) -> np.ndarray: ...


@dataclass(frozen=True)
class Example:
    """Tokens uint8 [L] of the bases, the label as text (one for each label column), and where it was read.

    `split` is the one that its file names; `interval` its place in a genome, where that is known; `columns` name the
    label columns where there are several.
    """

    tokens: Bases = field(repr=False)
    label: tuple[str, ...]
    place: str
    interval: Interval | None = None
    split: str | None = None
    columns: tuple[str, ...] = ()


def read_bases(text: str, place: str) -> np.ndarray:
    """Tokens, uint8, of bases of either case; ambiguity codes become N.

    Raises InputError where there are none, and with the position of what is no base.
    """
    raw = text.strip().encode("utf-8").translate(AMBIGUOUS)
    if not raw:
        raise InputError(f"{place}: the sequence is empty; remove the row or give its bases")
    characters = np.frombuffer(raw, dtype=np.uint8)
    unknown = np.flatnonzero(~KNOWN[characters])
    if unknown.size:
        position = len(raw[: unknown[0]].decode("utf-8"))
        raise InputError(
            f"{place}: character {text.strip()[position]!r} at position {position + 1:,} is no base; "
            "write A, C, G, T, N or an ambiguity code"
        )
    return encode(characters)
