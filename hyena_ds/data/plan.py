"""How the samples of a step are shared by ranks and cut into micro-batches."""

from dataclasses import dataclass

import numpy as np

from hyena_ds.errors import InputError


def samples_per_step(tokens_per_step: int, length: int) -> int:
    """Windows of `length` bases that make `tokens_per_step`, to the nearest; at least 1."""
    return max(1, (2 * tokens_per_step + length) // (2 * length))


def _divisors(number: int) -> list[int]:
    small = [size for size in range(1, int(number**0.5) + 1) if number % size == 0]
    return sorted({*small, *(number // size for size in small)})


@dataclass(frozen=True)
class StepPlan:
    """Step s of a stage (s = 0, 1, ...) takes the samples [s * samples, (s + 1) * samples) at any number of ranks.

    Each data-parallel rank takes a contiguous part of them, cut into the fewest micro-batches of at most
    `micro_batch` samples, whose sizes differ by at most one. Raises InputError where the ranks cannot share evenly.
    """

    samples: int
    data_parallel_size: int
    micro_batch: int
    length: int

    def __post_init__(self) -> None:
        if self.samples % self.data_parallel_size:
            sizes = ", ".join(f"{size:,}" for size in _divisors(self.samples))
            raise InputError(
                f"{self.samples:,} samples a step of {self.length:,} bases cannot be shared by data-parallel size "
                f"{self.data_parallel_size:,}; use one of {sizes}, or change the batch section"
            )

    @property
    def samples_per_rank(self) -> int:
        return self.samples // self.data_parallel_size

    @property
    def largest_micro_batch(self) -> int:
        """Samples of the largest micro-batch, which sets the peak of memory."""
        return -(-self.samples_per_rank // self.accumulation)

    @property
    def accumulation(self) -> int:
        """Micro-batches of a step on one rank, the same on every rank."""
        return -(-self.samples_per_rank // self.micro_batch)

    def step_samples(self, step: int) -> np.ndarray:
        """Global sample numbers of a step, int64 [samples]."""
        return np.arange(step * self.samples, (step + 1) * self.samples, dtype=np.int64)

    def rank_samples(self, step: int, rank: int) -> np.ndarray:
        """Global sample numbers of a step on a data-parallel rank, int64 [samples_per_rank]."""
        first = rank * self.samples_per_rank
        return self.step_samples(step)[first : first + self.samples_per_rank]

    def micro_batches(self, step: int, rank: int) -> list[np.ndarray]:
        """`rank_samples`, cut into `accumulation` parts."""
        return np.array_split(self.rank_samples(step, rank), self.accumulation)
