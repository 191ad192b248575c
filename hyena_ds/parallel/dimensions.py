"""How the ranks of a run are shared between data and sequence."""

from dataclasses import dataclass

from pydantic import Field

from hyena_ds.config.section import Section
from hyena_ds.errors import InputError


class ParallelConfig(Section):
    """`sequence_parallel_size` neighbouring ranks of one node hold slices of the same samples.

    A rank that is silent for `heartbeat_seconds` is lost, and ends the whole run; one that dies does so at once.
    """

    sequence_parallel_size: int = Field(default=1, gt=0)
    heartbeat_seconds: float = Field(default=30.0, gt=0)


@dataclass(frozen=True)
class ParallelDimensions:
    """The degrees of parallelism; ranks of one sequence group are neighbours: rank = data rank · P + sequence rank.

    Raises InputError where the sequence groups do not fill the world, or `ranks_per_node` (None: one node).
    """

    world_size: int
    sequence_parallel_size: int = 1
    ranks_per_node: int | None = None

    def __post_init__(self) -> None:
        size, world = self.sequence_parallel_size, self.world_size
        if world % size:
            raise InputError(
                f"parallel.sequence_parallel_size={size} does not divide the {world} ranks of this run "
                f"({world} = {world // size} · {size} + {world % size}); use one of {_listed(_divisors(world))}, "
                "or start another number of ranks"
            )
        node = self.ranks_per_node or world
        if node % size:
            raise InputError(
                f"parallel.sequence_parallel_size={size} does not divide the {node} ranks of a node, so that one "
                f"sequence would cross nodes; use one of {_listed(_divisors(node))}, or start other ranks a node"
            )

    @property
    def data_parallel_size(self) -> int:
        """Groups of ranks that hold different samples."""
        return self.world_size // self.sequence_parallel_size

    def data_rank(self, rank: int) -> int:
        return rank // self.sequence_parallel_size

    def sequence_rank(self, rank: int) -> int:
        return rank % self.sequence_parallel_size

    def sequence_groups(self) -> list[list[int]]:
        """The ranks of each sequence group."""
        size = self.sequence_parallel_size
        return [list(range(first, first + size)) for first in range(0, self.world_size, size)]

    def check_divides(self, number: int, what: str) -> None:
        """Raises InputError where the sequence-parallel degree does not divide `number`, such as a length."""
        size = self.sequence_parallel_size
        if number % size:
            raise InputError(
                f"parallel.sequence_parallel_size={size} does not divide {what}={number:,} "
                f"({number:,} = {number // size:,} · {size} + {number % size}); change one of them"
            )


def _divisors(number: int) -> list[int]:
    return [size for size in range(1, number + 1) if number % size == 0]


def _listed(numbers: list[int]) -> str:
    return ", ".join(map(str, numbers))
