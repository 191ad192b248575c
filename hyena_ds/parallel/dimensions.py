"""How the ranks of a run are shared between data and sequence."""

from dataclasses import dataclass

from pydantic import Field

from hyena_ds.config.section import Section
from hyena_ds.errors import InputError


class ParallelConfig(Section):
    """`sequence_parallel_size` ranks hold slices of the same samples; this version knows 1.

    A rank that is silent for `heartbeat_seconds` is lost, and ends the whole run; one that dies does so at once.
    """

    sequence_parallel_size: int = Field(default=1, gt=0)
    heartbeat_seconds: float = Field(default=30.0, gt=0)


@dataclass(frozen=True)
class ParallelDimensions:
    """The degrees of parallelism; their product is the world size. Raises InputError where it is not."""

    world_size: int
    sequence_parallel_size: int = 1

    def __post_init__(self) -> None:
        if self.sequence_parallel_size != 1:
            raise InputError(
                f"parallel.sequence_parallel_size={self.sequence_parallel_size} is not in this version; set it to 1"
            )

    @property
    def data_parallel_size(self) -> int:
        """Groups of ranks that hold different samples."""
        return self.world_size // self.sequence_parallel_size
