"""Rank and world of this process as DeepSpeed, torchrun, SLURM or MPI tell them; imports no torch."""

import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

from hyena_ds.errors import InputError

# (rank, world size, local rank) by launcher; the first complete row wins.
LAUNCHER_VARIABLES = {
    "deepspeed or torchrun": ("RANK", "WORLD_SIZE", "LOCAL_RANK"),
    "Open MPI": ("OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE", "OMPI_COMM_WORLD_LOCAL_RANK"),
    # srun with PMI sets the first two as well, but no local rank: its row is the next one.
    "MPICH": ("PMI_RANK", "PMI_SIZE", "MPI_LOCALRANKID"),
    # Not SLURM_NTASKS: a batch script has it too, with SLURM_PROCID=0, and its own commands are alone.
    "SLURM": ("SLURM_PROCID", "SLURM_STEP_NUM_TASKS", "SLURM_LOCALID"),
}
LOCAL_WORLD_VARIABLES = {
    "deepspeed or torchrun": ("LOCAL_WORLD_SIZE", "LOCAL_SIZE"),  # torchrun, deepspeed
    "Open MPI": ("OMPI_COMM_WORLD_LOCAL_SIZE",),
    "MPICH": ("MPI_LOCALNRANKS",),
    "SLURM": (),  # counted in SLURM_STEP_TASKS_PER_NODE
}
ANY_FREE_PORT = 0  # which a process alone takes as it listens: a port sought before could be another's by then


@dataclass(frozen=True)
class ProcessEnvironment:
    """One process among `world_size`, `local_world_size` of them on this node; rank 0 listens on the address."""

    rank: int
    world_size: int
    local_rank: int
    local_world_size: int
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


def _slurm_tasks_on_node(tasks_per_node: str, node: int) -> int:
    """The tasks of one node in a list such as `4(x2),1`: four on nodes 0 and 1, one on node 2."""
    counts: list[int] = []
    for tasks, repeats in re.findall(r"(\d+)(?:\(x(\d+)\))?", tasks_per_node):
        counts += [int(tasks)] * int(repeats or 1)
    return counts[node]


def _local_world_size(variables: Mapping[str, str], launcher: str, world_size: int) -> int:
    """The processes of this node; where the launcher does not tell, there is one node."""
    if launcher == "SLURM" and "SLURM_STEP_TASKS_PER_NODE" in variables:
        return _slurm_tasks_on_node(variables["SLURM_STEP_TASKS_PER_NODE"], int(variables["SLURM_NODEID"]))
    told = [variables[name] for name in LOCAL_WORLD_VARIABLES[launcher] if name in variables]
    return int(told[0]) if told else world_size


def _address(variables: Mapping[str, str], launcher: str, *, world_size: int, one_node: bool) -> tuple[str, int]:
    """Where rank 0 listens: as told, else on this machine, else on the first node of the SLURM step or job."""
    job = int(variables.get("SLURM_JOB_ID", "9500"))
    port = int(variables.get("MASTER_PORT", 20000 + job % 20000))  # jobs that share a node do not meet
    if "MASTER_ADDR" in variables:
        return variables["MASTER_ADDR"], port
    if one_node:
        return "127.0.0.1", port if world_size > 1 else ANY_FREE_PORT
    # Under mpirun the step is that of its daemons, and may leave out the node that mpirun runs on.
    step = ("SLURM_STEP_NODELIST",) if launcher == "SLURM" else ()
    for name in (*step, "SLURM_JOB_NODELIST"):
        if name in variables:
            return _first_slurm_host(variables[name]), port
    raise InputError(
        f"{launcher} started ranks on several nodes and does not say where rank 0 is; "
        "set MASTER_ADDR to its host, such as: mpirun -x MASTER_ADDR=node1 ..."
    )


def read_environment(variables: Mapping[str, str] | None = None) -> ProcessEnvironment:
    """The place of this process in its world; a process that no launcher started is rank 0 of 1.

    Raises InputError where a launcher's variables contradict each other, or do not say where rank 0 is.
    """
    variables = os.environ if variables is None else variables
    for launcher, names in LAUNCHER_VARIABLES.items():
        if all(name in variables for name in names):
            return _read_row(variables, launcher)
    if "RANK" in variables and "WORLD_SIZE" in variables:
        raise InputError(f"RANK={variables['RANK']} comes without LOCAL_RANK; start all ranks by one launcher")
    return ProcessEnvironment(0, 1, 0, 1, "127.0.0.1", ANY_FREE_PORT, "none")


def _read_row(variables: Mapping[str, str], launcher: str) -> ProcessEnvironment:
    rank_name, world_name, local_name = LAUNCHER_VARIABLES[launcher]
    rank, world_size, local_rank = (int(variables[name]) for name in (rank_name, world_name, local_name))
    local_world_size = _local_world_size(variables, launcher, world_size)
    if not 0 <= rank < world_size:
        raise InputError(f"{rank_name}={rank} is outside {world_name}={world_size}; start all ranks by one launcher")
    if not local_rank < local_world_size <= world_size:
        raise InputError(
            f"{local_name}={local_rank} does not fit {local_world_size} ranks on this node of {world_size} in all; "
            "start all ranks by one launcher"
        )
    one_node = local_world_size == world_size
    address, port = _address(variables, launcher, world_size=world_size, one_node=one_node)
    return ProcessEnvironment(rank, world_size, local_rank, local_world_size, address, port, launcher)


def publish(environment: ProcessEnvironment) -> None:
    """Write the place of this process under the names that torch and DeepSpeed read."""
    os.environ.update(_published(environment))


def _published(environment: ProcessEnvironment) -> dict[str, str]:
    return {
        "RANK": str(environment.rank),
        "WORLD_SIZE": str(environment.world_size),
        "LOCAL_RANK": str(environment.local_rank),
        "LOCAL_WORLD_SIZE": str(environment.local_world_size),
        "MASTER_ADDR": environment.master_address,
        "MASTER_PORT": str(environment.master_port),
    }


@contextmanager
def alone() -> Iterator[ProcessEnvironment]:
    """A world of this process only, whatever started it; afterwards its variables are what they were."""
    environment = read_environment({})
    before = {name: os.environ.get(name) for name in _published(environment)}
    try:
        yield environment
    finally:
        for name, value in before.items():
            os.environ.pop(name, None)
            if value is not None:
                os.environ[name] = value
