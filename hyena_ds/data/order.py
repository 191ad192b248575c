"""A random order with random access: a permutation of [0, n) that is a pure function of its key.

`np.random.permutation` costs O(n) memory and time before its first element, and its stream may change between NumPy
versions. Here the place of one sample is computed alone: a Feistel network on the smallest power of two that holds
n, walked along its cycle until it lands below n (Black and Rogaway 2002). Every round can be undone, so every
window comes exactly once.
"""

from collections.abc import Callable

import numpy as np

ROUNDS = 8  # even, so that the two parts end with the widths they began with
_WORD = 2**64 - 1
_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_Network = Callable[[np.ndarray, list[np.ndarray], int], np.ndarray]
_ORDER, _WINDOW, _EXAMPLE = 1, 2, 3  # keep the uses of one seed independent


def _mix(words: np.ndarray) -> np.ndarray:
    """The finaliser of splitmix64 (Steele, Lea and Flood 2014): a bijection on uint64 arrays."""
    words = (words ^ (words >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    words = (words ^ (words >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    words ^= words >> np.uint64(31)
    return words


def _as_words(values: int | np.ndarray) -> np.ndarray:
    if isinstance(values, int):
        return np.array([values & _WORD], dtype=np.uint64)
    return np.atleast_1d(values).astype(np.uint64)


def hash_words(*words: int | np.ndarray) -> np.ndarray:
    """A uint64 hash of the words in their order; integers and 1-d integer arrays broadcast together."""
    digest = np.zeros(1, dtype=np.uint64)
    for word in words:
        digest = _mix((digest + _GOLDEN) ^ _mix(_as_words(word) + _GOLDEN))
    return digest


def order_key(seed: int, epoch: int | np.ndarray, *stream: int) -> np.ndarray:
    """The uint64 key of an epoch's permutation; `stream` tells apart what shuffles by itself (stage, pool)."""
    return hash_words(_ORDER, seed, *stream, epoch)


def random_bits(seed: int, epoch: int | np.ndarray, window: int | np.ndarray, *stream: int) -> np.ndarray:
    """64 random bits for each window of an epoch, uint64, the same however and wherever it is read."""
    return hash_words(_WINDOW, seed, *stream, epoch, window)


def example_bits(seed: int, epoch: np.ndarray, example: np.ndarray, stage: int) -> np.ndarray:
    """64 random bits for each labelled example of an epoch, uint64.

    They tell nothing of `random_bits`, which may have drawn the example, and with it its label, by the same seed.
    """
    return hash_words(_EXAMPLE, seed, stage, epoch, example)


def _widths(size: int) -> tuple[int, int]:
    bits = max((size - 1).bit_length(), 2)
    return bits // 2, bits - bits // 2


def _round_keys(keys: np.ndarray) -> list[np.ndarray]:
    return [_mix(keys + np.uint64(turn + 1) * _GOLDEN) for turn in np.arange(ROUNDS, dtype=np.uint64)[:, None]]


def _feistel(values: np.ndarray, keys: list[np.ndarray], size: int) -> np.ndarray:
    left_width, right_width = _widths(size)
    left, right = values >> np.uint64(right_width), values & np.uint64((1 << right_width) - 1)
    for key in keys:
        left, right = right, (left ^ _mix(right + key)) & np.uint64((1 << left_width) - 1)
        left_width, right_width = right_width, left_width
    return (left << np.uint64(right_width)) | right


def _inverse_feistel(values: np.ndarray, keys: list[np.ndarray], size: int) -> np.ndarray:
    left_width, right_width = _widths(size)
    left, right = values >> np.uint64(right_width), values & np.uint64((1 << right_width) - 1)
    for key in reversed(keys):
        left, right = (right ^ _mix(left + key)) & np.uint64((1 << right_width) - 1), left
        left_width, right_width = right_width, left_width
    return (left << np.uint64(right_width)) | right


def _walk(network: _Network, values: np.ndarray, size: int, key: np.ndarray) -> np.ndarray:
    if values.size and not 0 <= values.min() <= values.max() < size:
        raise IndexError(f"positions must lie in [0, {size}), found {values.min()} to {values.max()}")
    words, keys = np.broadcast_arrays(values.astype(np.uint64), key)
    keys_of_rounds = _round_keys(keys)
    result = network(words, keys_of_rounds, size)
    outside = np.flatnonzero(result >= size)
    while outside.size:
        result[outside] = network(result[outside], [turn[outside] for turn in keys_of_rounds], size)
        outside = outside[result[outside] >= size]
    return result.astype(np.int64)


def permute(positions: np.ndarray, size: int, key: np.ndarray) -> np.ndarray:
    """Element `positions` [n] int64 of the permutation of [0, size) under `key` (uint64, [1] or [n]), int64 [n].

    O(1) time and memory an element. Raises IndexError for a position outside [0, size).
    """
    return _walk(_feistel, positions, size, key)


def invert(elements: np.ndarray, size: int, key: np.ndarray) -> np.ndarray:
    """The positions of `elements`: `invert(permute(x, n, key), n, key)` is x."""
    return _walk(_inverse_feistel, elements, size, key)
