"""Examples in memory, and the padded batches made of them."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from hyena_ds.data.order import example_bits, order_key, permute
from hyena_ds.downstream.example import Bases
from hyena_ds.downstream.labels import IGNORED
from hyena_ds.genome.alphabet import PAD, SEP, A, N, reverse_complement

# Batches are so many positions wide or a multiple: kernels read them at once, and are compiled for each kind of width.
ROUNDED = 16


@dataclass(frozen=True)
class ExampleBatch:
    """Tokens uint8 [B, L] of bases, [SEP], then [PAD]; targets of the kind of task, [B, ...]; sample numbers [B]."""

    tokens: np.ndarray
    targets: np.ndarray
    samples: np.ndarray


@dataclass(frozen=True)
class ExampleSet:
    """The tokens and targets of a split, by number."""

    tokens: Sequence[Bases]
    targets: Sequence[np.ndarray]
    by_position: bool

    def __len__(self) -> int:
        return len(self.tokens)

    @property
    def longest(self) -> int:
        """Bases."""
        return max((len(tokens) for tokens in self.tokens), default=0)

    def by_length(self) -> np.ndarray:
        """All numbers, those of the longest sequences first, so that batches need little padding."""
        return np.argsort([-len(tokens) for tokens in self.tokens], kind="stable")

    def width(self, numbers: np.ndarray, length: int, multiple: int, l_max: int) -> int:
        """Positions for the longest of `numbers`, cut to `length` bases, and [SEP], as a multiple; at most `l_max`."""
        longest = max(min(len(self.tokens[number]), length) for number in numbers)
        rounded = math.lcm(multiple, ROUNDED)
        return min(-(-(longest + 1) // rounded) * rounded, l_max // multiple * multiple)

    def batch(
        self, numbers: np.ndarray, width: int, length: int, reverse: np.ndarray, samples: np.ndarray
    ) -> ExampleBatch:
        """The examples `numbers` [B], cut to their central `length` bases; `reverse` [B] takes the other strand."""
        tokens = np.full((len(numbers), width), PAD, dtype=np.uint8)
        targets = []
        for row, (number, is_reverse) in enumerate(zip(numbers, reverse, strict=True)):
            bases, target = self._cut(int(number), length)
            tokens[row, : len(bases)] = reverse_complement(bases) if is_reverse else bases
            tokens[row, len(bases)] = SEP
            if self.by_position:
                padded = np.full(width, IGNORED)
                padded[: len(bases)] = target[::-1] if is_reverse else target
                target = padded
            targets.append(target)
        return ExampleBatch(tokens, np.stack(targets), samples)

    def _cut(self, number: int, length: int) -> tuple[np.ndarray, np.ndarray]:
        tokens, target = self.tokens[number], self.targets[number]
        first = max(len(tokens) - length, 0) // 2
        kept = slice(first, first + length)
        return tokens[kept], target[kept] if self.by_position else target


@dataclass(frozen=True)
class ExampleStream:
    """An endless stream of samples: each of `count` examples once an epoch, in an order of its own every epoch.

    `cutout` is the largest share of a sequence's bases that is hidden.
    """

    count: int
    seed: int
    stage: int
    reverse_complement: bool
    cutout: float = 0.0

    def locate(self, samples: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The example of each sample [n] int64, and whether it is read from the other strand, bool [n]."""
        numbers, bits = self._draw(samples)
        if not self.reverse_complement:
            return numbers, np.zeros(len(samples), dtype=bool)
        return numbers, (bits & np.uint64(1)).astype(bool)

    def hide(self, batch: ExampleBatch, *, by_position: bool) -> ExampleBatch:
        """The batch with one stretch of each row's bases made N, of a length and at a place drawn anew every epoch.

        Cutout (DeVries and Taylor 2017) along a sequence; labels `by_position` of what is hidden do not count.
        """
        if self.cutout == 0:
            return batch
        _, bits = self._draw(batch.samples)
        shares = np.stack([bits >> np.uint64(32), bits & np.uint64(2**32 - 1)]) / 2**32
        bases = np.count_nonzero(batch.tokens >= A, axis=1)
        hidden = (shares[0] * self.cutout * bases).astype(np.int64)
        first = (shares[1] * (bases - hidden + 1)).astype(np.int64)
        places = np.arange(batch.tokens.shape[1])
        stretch = (places >= first[:, None]) & (places < (first + hidden)[:, None])
        targets = np.where(stretch, IGNORED, batch.targets) if by_position else batch.targets
        return replace(batch, tokens=np.where(stretch, np.uint8(N), batch.tokens), targets=targets)

    def _draw(self, samples: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The example of each sample, and 64 random bits for it."""
        epoch, place = np.divmod(samples, self.count)
        numbers = permute(place, self.count, order_key(self.seed, epoch, self.stage))
        return numbers, example_bits(self.seed, epoch, numbers, self.stage)
