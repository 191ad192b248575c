"""Bases that stay in their FASTA file until a batch asks for them, so that long windows need no memory."""

from dataclasses import dataclass, field

import numpy as np

from hyena_ds.downstream.example import read_bases
from hyena_ds.genome.alphabet import N
from hyena_ds.genome.fasta import FastaReader
from hyena_ds.genome.interval import Interval


@dataclass(frozen=True)
class GenomeBases:
    """The tokens of `interval` behind `left` N, uint8 [left + L], read as a slice is taken."""

    reader: FastaReader = field(repr=False, compare=False)
    interval: Interval
    left: int = 0

    def __len__(self) -> int:
        return self.left + self.interval.length

    def __getitem__(self, part: slice) -> np.ndarray:
        first, last, _ = part.indices(len(self))
        padding = np.full(max(min(last, self.left) - first, 0), N, dtype=np.uint8)
        start, end = (self.interval.start + max(place - self.left, 0) for place in (first, last))
        if start >= end:
            return padding
        wanted = Interval(self.interval.sequence, start, end)
        return np.concatenate([padding, read_bases(self.reader.bases(wanted).decode("ascii"), str(wanted))])
