"""Rank and world of this process as DeepSpeed, torchrun, SLURM or MPI tell them; imports no torch."""

import os
import socket
from collections.abc import Mapping
from dataclasses import dataclass

from hyena_ds.errors import InputError

# (rank, world size, local rank) by launcher; the first complete row wins.
LAUNCHER_VARIABLES = {
    "deepspeed or torchrun": ("RANK", "WORLD_SIZE", "LOCAL_RANK"),
    "Open MPI": ("OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE", "OMPI_COMM_WORLD_LOCAL_RANK"),
    "MPICH": ("PMI_RANK", "PMI_SIZE", "MPI_LOCALRANKID"),
    "SLURM": ("SLURM_PROCID", "SLURM_NTASKS", "SLURM_LOCALID"),
}


@dataclass(frozen=True)
class ProcessEnvironment:
    """One process among `world_size`, on the address where rank 0 listens."""

    rank: int
    world_size: int
    local_rank: int
    master_address: str
    master_port: int
    launcher: str

    @property
    def is_main(self) -> bool:
        return self.rank == 0


def _first_slurm_host(node_list: str) -> str:
    """The first host of a SLURM node list such as `gpu[03-07,9],login1`."""
    head, bracket, ranges = node_list.partition("[")
    if not bracket or "," in head:
        return head.partition(",")[0]
    first = ranges.partition("]")[0].partition(",")[0].partition("-")[0]
    return head + first


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def _address(variables: Mapping[str, str], launcher: str, world_size: int) -> tuple[str, int]:
    if "MASTER_ADDR" in variables:
        return variables["MASTER_ADDR"], int(variables.get("MASTER_PORT", "29500"))
    if launcher == "SLURM" and "SLURM_JOB_NODELIST" in variables:
        port = 20000 + int(variables.get("SLURM_JOB_ID", "0")) % 20000
        return _first_slurm_host(variables["SLURM_JOB_NODELIST"]), port
    return "127.0.0.1", _free_port() if world_size == 1 else 29500


def read_environment(variables: Mapping[str, str] | None = None) -> ProcessEnvironment:
    """The place of this process in its world; a process that no launcher started is rank 0 of 1.

    Raises InputError where a launcher's variables contradict each other.
    """
    variables = os.environ if variables is None else variables
    for launcher, (rank_name, world_name, local_name) in LAUNCHER_VARIABLES.items():
        if rank_name not in variables or world_name not in variables:
            continue
        rank, world_size = int(variables[rank_name]), int(variables[world_name])
        local_rank = int(variables.get(local_name, "0"))
        if not 0 <= rank < world_size:
            raise InputError(
                f"{rank_name}={rank} is outside {world_name}={world_size}; start all ranks by one launcher"
            )
        address, port = _address(variables, launcher, world_size)
        return ProcessEnvironment(rank, world_size, local_rank, address, port, launcher)
    return ProcessEnvironment(0, 1, 0, "127.0.0.1", _free_port(), "none")


def publish(environment: ProcessEnvironment) -> None:
    """Write the place of this process under the names that torch and DeepSpeed read."""
    os.environ.update(
        RANK=str(environment.rank),
        WORLD_SIZE=str(environment.world_size),
        LOCAL_RANK=str(environment.local_rank),
        MASTER_ADDR=environment.master_address,
        MASTER_PORT=str(environment.master_port),
    )
