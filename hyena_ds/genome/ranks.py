"""The processes that share one piece of work: this one alone, or those of an MPI job."""

from collections.abc import Callable
from typing import Any, Protocol, TypeVar

from hyena_ds.errors import FULL_STORAGE, HyenaError, InputError, StorageError

Result = TypeVar("Result")


class Ranks(Protocol):
    """`size` processes that call the same methods in the same order; this one is number `rank`."""

    rank: int
    size: int

    def everywhere(self, work: Callable[[], Result]) -> list[Result]:
        """Run `work` on every rank and return all results, by rank; the error of one rank is raised on all."""
        ...


class OneRank:
    """This process alone."""

    rank = 0
    size = 1

    def everywhere(self, work: Callable[[], Result]) -> list[Result]:
        return [work()]


class MpiRanks:
    """The processes of MPI's world; imports mpi4py, which starts MPI.

    Raises InputError where MPI knows less than the `expected` processes: each would do all the work, over the others.
    """

    def __init__(self, expected: int) -> None:
        from mpi4py import MPI  # noqa: PLC0415 - only a process under mpirun may start MPI

        self._world = MPI.COMM_WORLD
        self.rank: int = self._world.Get_rank()
        self.size: int = self._world.Get_size()
        if self.size != expected:
            raise InputError(f"{expected} processes were started, and MPI knows {self.size} of them; start by mpirun")

    def everywhere(self, work: Callable[[], Result]) -> list[Result]:
        result, error = _attempt(work)
        outcomes = self._world.allgather((result, error))
        for rank, (_, failure) in enumerate(outcomes):
            if failure is not None:
                raise _on_rank(failure, rank)
        return [outcome for outcome, _ in outcomes]

    def abort(self) -> None:
        """End all ranks at once, after an error that only this one met."""
        self._world.Abort(1)


def _attempt(work: Callable[[], Result]) -> tuple[Any, HyenaError | None]:
    """The result of `work`, or the error of its that a user can mend; any other error ends this rank."""
    try:
        return work(), None
    except HyenaError as error:
        return None, error
    except OSError as error:
        if error.errno not in FULL_STORAGE:
            raise
        where = f" at {error.filename}" if error.filename else ""
        return None, StorageError(f"storage failed{where}: {error.strerror}; free space or choose another disk")


def _on_rank(error: HyenaError, rank: int) -> HyenaError:
    return error if rank == 0 else type(error)(f"{error} (met by rank {rank})")


def on_first(ranks: Ranks, work: Callable[[], Result]) -> Result:
    """Run `work` on rank 0 only; its result, or its error, reaches every rank."""
    results = ranks.everywhere(lambda: work() if ranks.rank == 0 else None)
    first: Any = results[0]
    result: Result = first
    return result
