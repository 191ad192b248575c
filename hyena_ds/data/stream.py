"""Which window each sample of a stage is: a pure function of the sample's global number."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from hyena_ds.data.config import DataConfig
from hyena_ds.data.order import order_key, permute, random_bits
from hyena_ds.data.windows import WindowSet
from hyena_ds.errors import InputError
from hyena_ds.genome.index import ShardIndex

CYCLE = 2**16  # samples after which the mix of pools repeats; a weight is met to 1 / CYCLE


@dataclass(frozen=True)
class Samples:
    """Where samples lie: pool, epoch of that pool and window of that pool, int64 [n], and the strand, bool [n]."""

    pool: np.ndarray
    epoch: np.ndarray
    window: np.ndarray
    reverse_complement: np.ndarray


class SampleStream:
    """An endless stream of samples 0, 1, 2, ... from the start of a stage, with O(1) access to any of them.

    Each pool passes through all its windows, each once, in an order of its own every epoch. `weights` are the
    pools' shares of the samples. Among the first n samples of a stream no pool is more than a few samples away
    from its share.
    """

    def __init__(
        self,
        pools: Sequence[WindowSet],
        weights: Sequence[float] | None = None,
        *,
        seed: int,
        stage: int,
        reverse_complement: bool,
    ) -> None:
        if not pools or not all(len(pool) for pool in pools):
            raise InputError("a train split has no window with a base; shard the genome again with a larger one")
        self.pools = tuple(pools)
        self.seed, self.stage, self.reverse_complement = seed, stage, reverse_complement
        self._pool_of_slot = _balanced_cycle(_slots([1.0] * len(pools) if weights is None else weights))
        members = self._pool_of_slot == np.arange(len(pools))[:, None]
        self._slots = members.sum(axis=1)
        self._rank_in_pool = (members.cumsum(axis=1) - 1)[self._pool_of_slot, np.arange(len(self._pool_of_slot))]

    def locate(self, samples: np.ndarray) -> Samples:
        """The windows of samples [n] int64, in O(n)."""
        pool, position = self._pool_positions(samples)
        sizes = np.array([len(windows) for windows in self.pools], dtype=np.int64)[pool]
        epoch, place = position // sizes, position % sizes
        window = np.empty_like(place)
        reverse = np.zeros(len(samples), dtype=bool)
        for number, windows in enumerate(self.pools):
            chosen = np.flatnonzero(pool == number)
            if not chosen.size:
                continue
            key = order_key(self.seed, epoch[chosen], self.stage, number)
            window[chosen] = permute(place[chosen], len(windows), key)
            if self.reverse_complement:
                bits = random_bits(self.seed, epoch[chosen], window[chosen], self.stage, number)
                reverse[chosen] = (bits & np.uint64(1)).astype(bool)
        return Samples(pool, epoch, window, reverse)

    def epoch(self, sample: int) -> int:
        """Whole passes that every pool has completed before `sample`."""
        cycles, slot = divmod(sample, len(self._pool_of_slot))
        taken = cycles * self._slots + np.bincount(self._pool_of_slot[:slot], minlength=len(self.pools))
        return min(int(count) // len(windows) for count, windows in zip(taken, self.pools, strict=True))

    def _pool_positions(self, samples: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The pool of each sample and the number of that pool's samples before it."""
        cycle, slot = np.divmod(samples, len(self._pool_of_slot))
        pool = self._pool_of_slot[slot]
        return pool, cycle * self._slots[pool] + self._rank_in_pool[slot]


def _slots(weights: Sequence[float]) -> np.ndarray:
    """Slots of one cycle for each pool, at least one each, by largest remainder."""
    if len(weights) == 1:
        return np.ones(1, dtype=np.int64)
    shares = np.array(weights, dtype=np.float64)
    ideal: np.ndarray = shares / shares.sum() * CYCLE
    slots: np.ndarray = np.maximum(np.floor(ideal), 1).astype(np.int64)
    by_remainder = np.argsort(-(ideal - slots), kind="stable")
    slots[by_remainder[: max(CYCLE - int(slots.sum()), 0)]] += 1
    return slots


def _balanced_cycle(slots: np.ndarray) -> np.ndarray:
    """Pool numbers, int64 [slots.sum()], each pool spread evenly over the cycle."""
    pool = np.repeat(np.arange(len(slots), dtype=np.int64), slots)
    rank = np.concatenate([np.arange(count) for count in slots])
    spread: np.ndarray = pool[np.argsort((rank + 0.5) / slots[pool], kind="stable")]
    return spread


def open_stream(index: ShardIndex, config: DataConfig, *, length: int, seed: int, stage: int) -> SampleStream:
    """The training stream of a stage of windows of `length` bases: one pool, or one a species where weights are given.

    Raises InputError where `species_weights` names other species than the index, or a pool is empty.
    """
    weights = config.species_weights
    if weights is None:
        pools = [WindowSet(index, "train", length)]
        return SampleStream(pools, seed=seed, stage=stage, reverse_complement=config.reverse_complement)
    if set(weights) != set(index.species()):
        raise InputError(
            f"data.species_weights names {', '.join(sorted(weights))}; "
            f"{config.directory} holds {', '.join(sorted(index.species()))}: give each of them one weight"
        )
    names = index.species()
    pools = [WindowSet(index, "train", length, name) for name in names]
    shares = [weights[name] for name in names]
    return SampleStream(pools, shares, seed=seed, stage=stage, reverse_complement=config.reverse_complement)
