"""Sequences that share a stretch of DNA, so that a split may keep them together."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components
from sklearn.model_selection import StratifiedGroupKFold

from benchmarks.held_out import ANCHOR_BASES, NO_ANCHOR, anchor_codes
from hyena_ds.data.order import hash_words
from hyena_ds.downstream.example import Example
from hyena_ds.genome.alphabet import reverse_complement

# Overlapping windows share as much; copies of a repeat, which share 31 bases often, seldom do.
SHARED_BASES = 64
# Draws the test set, which is the same for every seed.
TEST_SEED = 0


def alike(sequences: Sequence[np.ndarray]) -> np.ndarray:
    """The group of each of `sequences` (tokens uint8 [L]), int [n].

    Two that have 64 bases in common, on either strand, are in one group, and so are all that are linked by others.
    """
    codes = [np.minimum(_stretches(one), _stretches(reverse_complement(one))[::-1]) for one in sequences]
    owners = np.repeat(np.arange(len(codes)), [len(own) for own in codes])
    known = (joined := np.concatenate(codes)) != NO_ANCHOR
    _, stretches = np.unique(joined[known], return_inverse=True)
    ends = len(codes) + stretches
    nodes = len(codes) + int(stretches.max(initial=-1)) + 1
    shared = coo_matrix((np.ones(len(ends), dtype=bool), (owners[known], ends)), shape=(nodes, nodes))
    _, groups = connected_components(shared, directed=False)
    found: np.ndarray = groups[: len(codes)]
    return found


def _stretches(tokens: np.ndarray) -> np.ndarray:
    """A number for the `SHARED_BASES` bases that begin at each position, uint64; NO_ANCHOR where one is unknown."""
    anchors = anchor_codes(tokens)
    count = max(len(tokens) - SHARED_BASES + 1, 0)
    parts = [anchors[start : start + count] for start in (0, ANCHOR_BASES, SHARED_BASES - ANCHOR_BASES)]
    known = np.all([part != NO_ANCHOR for part in parts], axis=0)
    found: np.ndarray = np.where(known, hash_words(*parts) >> np.uint64(1), NO_ANCHOR)
    return found


def split_groups(examples: Sequence[Example], groups: np.ndarray, seed: int) -> list[Example]:
    """The examples with their split: 60 % train, 20 % validate, 20 % test, no group (int [n]) in two.

    `seed` draws those that validate.
    """
    labels = np.array([example.label[0] for example in examples])
    names = np.full(len(examples), "train", dtype="<U8")
    free = np.arange(len(examples))
    for name, folds, draw in (("test", 5, TEST_SEED), ("valid", 4, seed)):
        splitter = StratifiedGroupKFold(folds, shuffle=True, random_state=draw)
        kept, taken = next(splitter.split(free, labels[free], groups[free]))
        names[free[taken]] = name
        free = free[kept]
    return [replace(example, split=str(name)) for example, name in zip(examples, names, strict=True)]
