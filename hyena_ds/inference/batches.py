"""Sequences cut into pieces, and pieces of like length put into padded batches under a budget of tokens."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np
import torch
from torch import Tensor

from hyena_ds.errors import InputError
from hyena_ds.genome.alphabet import PAD, reverse_complement
from hyena_ds.inference.sequences import tokens_of

PaddingSide = Literal["left", "right"]


@dataclass(frozen=True)
class Windowing:
    """How sequences are cut: into windows of `window` bases of which each shares `overlap` with the one before it."""

    window: int
    overlap: int = 0

    def __post_init__(self) -> None:
        if not 0 <= self.overlap < self.window:
            raise InputError(
                f"windows of {self.window:,} bases cannot overlap by {self.overlap:,}; "
                "the overlap must be at least 0 and below the window"
            )

    @classmethod
    def of(cls, window: int | None, overlap: int | None, l_max: int) -> "Windowing":
        """Whole sequences up to `l_max` where `window` is None; `overlap` is half a window unless given."""
        if window is None and overlap is not None:
            raise InputError(f"an overlap of {overlap:,} bases needs a window; give window (--window), too")
        if window is not None and not 1 <= window <= l_max:
            raise InputError(f"a window of {window:,} bases does not lie between 1 and the model's l_max, {l_max:,}")
        chosen = l_max if window is None else window
        half = 0 if window is None else window // 2
        return cls(chosen, half if overlap is None else overlap)

    def spans(self, length: int) -> Iterator[tuple[int, int, int]]:
        """Start, end and first owned base of each window of `length` bases.

        Each base is owned by one window: the first that has `overlap` bases before it, or stands at the beginning.
        """
        start = owned = 0
        while True:
            end = min(start + self.window, length)
            yield start, end, owned
            if end == length:
                return
            start, owned = end - self.overlap, end


class Piece(NamedTuple):
    """The bases `raw` of a window as they were given, of which those from `owned` on count; read on either strand."""

    raw: bytes
    owned: int = 0
    reverse: bool = False

    @property
    def tokens(self) -> np.ndarray:
        """Token ids, uint8 [L]."""
        tokens = tokens_of(self.raw)
        return reverse_complement(tokens) if self.reverse else tokens


@dataclass(frozen=True)
class Batch:
    """Pieces by their `numbers`, padded to one length.

    Attributes:
        tokens: uint8 [B, L], PAD at padding.
        padding: the side that has padding; None where there is none.
        spans: int64 [B, 2], of each piece its first position that counts and its end.
    """

    numbers: tuple[int, ...]
    tokens: Tensor
    padding: PaddingSide | None
    spans: Tensor


def make_batch(pieces: Sequence[Piece], numbers: Sequence[int], side: PaddingSide = "right", length: int = 0) -> Batch:
    """The batch of the pieces at `numbers`, padded on one `side` to the longest, or to `length`."""
    chosen = [pieces[number] for number in numbers]
    lengths = [len(piece.raw) for piece in chosen]
    longest = max(length, *lengths)
    tokens = np.full((len(chosen), longest), PAD, dtype=np.uint8)
    spans = []
    for row, piece, own in zip(tokens, chosen, lengths, strict=True):
        start = longest - own if side == "left" else 0
        row[start : start + own] = piece.tokens
        spans.append((start + piece.owned, start + own))
    padding = side if min(lengths) < longest else None
    return Batch(tuple(numbers), torch.from_numpy(tokens), padding, torch.tensor(spans))


def owned_positions(spans: Tensor, length: int) -> Tensor:
    """bool [B, L], the positions that count, of `spans` [B, 2] on any device."""
    position = torch.arange(length, device=spans.device)
    return (position >= spans[:, :1]) & (position < spans[:, 1:])


def batches(pieces: Sequence[Piece], tokens_per_batch: int, l_max: int, *, on_gpu: bool = False) -> Iterator[Batch]:
    """All pieces, longest first, in batches of at most `tokens_per_batch` tokens or one piece."""
    lengths = [len(piece.raw) for piece in pieces]
    order = sorted(range(len(pieces)), key=lengths.__getitem__, reverse=True)
    first = 0
    while first < len(order):
        length = min(padded_length(lengths[order[first]], on_gpu=on_gpu), l_max)
        size = max(1, tokens_per_batch // length)
        yield make_batch(pieces, order[first : first + size], length=length)
        first += size


def padded_length(length: int, *, on_gpu: bool = False) -> int:
    """The next of few lengths, 16 between a power of two and the next.

    FFT, matrix products and the allocator keep something for every shape they meet: with any length a shape of its
    own, a long job's memory would grow to several times that of a batch. The kernels of a GPU keep less, and read 16
    positions at once: there it is the next of 64, a multiple of 16.
    """
    bits = length.bit_length()
    step = 1 << (max(bits - 7, 4) if on_gpu else max(bits - 5, 0))
    return -(-length // step) * step
