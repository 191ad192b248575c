"""Windows as uint8 tokens, inputs and targets, and which targets count."""

from typing import Any, TypeVar

import numpy as np

from hyena_ds.data.shards import ShardReader
from hyena_ds.data.stream import SampleStream
from hyena_ds.data.windows import WindowSet
from hyena_ds.genome.alphabet import PAD, SEP, A, N, T, encode, reverse_complement

Tokens = TypeVar("Tokens", bound=Any)  # np.ndarray or torch.Tensor: both slice and compare alike

_ASCII = bytes(range(256))
_FORWARD = encode(_ASCII).tobytes()
_REVERSE = reverse_complement(encode(_ASCII)[::-1]).tobytes()


class WindowReader:
    """Reads windows as rows of tokens."""

    def __init__(self, shards: ShardReader) -> None:
        self.shards = shards

    def read(self, windows: WindowSet, chosen: np.ndarray, reverse: np.ndarray | None = None) -> np.ndarray:
        """Tokens of the `chosen` windows [n] int64, uint8 [n, length + 1]; rows with `reverse` [n] bool set are
        the opposite strand.

        A row is the window's bases, [SEP], then [PAD] where the window is short.
        """
        tokens = np.empty((len(chosen), windows.length + 1), dtype=np.uint8)
        strands = np.zeros(len(chosen), dtype=bool) if reverse is None else reverse
        self.read_into(tokens, np.arange(len(chosen)), windows, chosen, strands)
        return tokens

    def read_into(
        self, tokens: np.ndarray, rows: np.ndarray, windows: WindowSet, chosen: np.ndarray, reverse: np.ndarray
    ) -> None:
        """Write the `chosen` windows to `rows` [n] of `tokens`, as `read` returns them."""
        sequence, start, end = windows.bounds(chosen)
        places = zip(rows.tolist(), sequence.tolist(), start.tolist(), end.tolist(), reverse.tolist(), strict=True)
        for row, *place, is_reverse in places:
            # bytes.translate maps a byte at twice the speed of indexing a NumPy table.
            bases = self.shards.read(*place).tobytes().translate(_REVERSE if is_reverse else _FORWARD)
            forward = np.frombuffer(bases, dtype=np.uint8)
            tokens[row, : len(bases)] = forward[::-1] if is_reverse else forward
            tokens[row, len(bases)] = SEP
            tokens[row, len(bases) + 1 :] = PAD


class BatchReader:
    """Reads samples of a stream by their global numbers."""

    def __init__(self, shards: ShardReader, stream: SampleStream) -> None:
        self.stream = stream
        self._windows = WindowReader(shards)

    def read(self, samples: np.ndarray) -> np.ndarray:
        """Tokens of `samples` [n] int64, uint8 [n, L + 1]: bases, [SEP], then [PAD] where the window is short."""
        located = self.stream.locate(samples)
        tokens = np.empty((len(samples), self.stream.pools[0].length + 1), dtype=np.uint8)
        for number, windows in enumerate(self.stream.pools):
            rows = np.flatnonzero(located.pool == number)
            window, reverse = located.window[rows], located.reverse_complement[rows]
            self._windows.read_into(tokens, rows, windows, window, reverse)
        return tokens


def inputs_and_targets(tokens: Tokens) -> tuple[Tokens, Tokens]:
    """Tokens [B, L + 1] as inputs [B, L] and targets [B, L], both views: shifted here, sliced among ranks later."""
    return tokens[:, :-1], tokens[:, 1:]


def valid_targets(targets: Tokens, ignore_n: bool) -> Tokens:
    """Which targets count in training, bool of the same shape: never [PAD]; N unless ignored; [SEP] always."""
    counted: Tokens = (targets != PAD) & (targets != N) if ignore_n else targets != PAD
    return counted


def base_targets(targets: Tokens) -> Tokens:
    """Which targets count in validation, bool of the same shape: A, C, G and T."""
    counted: Tokens = (targets >= A) & (targets <= T)
    return counted


def count_valid(tokens: np.ndarray, ignore_n: bool) -> int:
    """How many targets of uint8 tokens [B, L + 1] count in training, known before any forward pass."""
    return int(np.count_nonzero(valid_targets(tokens[:, 1:], ignore_n)))
