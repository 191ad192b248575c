import pytest

from hyena_ds.errors import InputError
from hyena_ds.parallel.environment import ANY_FREE_PORT, read_environment

TORCH = {"RANK": "3", "WORLD_SIZE": "4", "LOCAL_RANK": "1", "MASTER_ADDR": "a"}
SLURM_STEP = {"SLURM_PROCID": "6", "SLURM_STEP_NUM_TASKS": "9", "SLURM_LOCALID": "0"}
TWO_NODES = {"SLURM_STEP_TASKS_PER_NODE": "6,3", "SLURM_NODEID": "1"}
OPEN_MPI = {
    "OMPI_COMM_WORLD_RANK": "3",
    "OMPI_COMM_WORLD_SIZE": "4",
    "OMPI_COMM_WORLD_LOCAL_RANK": "1",
    "OMPI_COMM_WORLD_LOCAL_SIZE": "2",
}


def test_a_process_that_no_launcher_started_is_the_only_one() -> None:
    environment = read_environment({"PATH": "/bin"})
    assert (environment.rank, environment.world_size, environment.is_main) == (0, 1, True)
    assert environment.master_address == "127.0.0.1"
    assert environment.master_port == ANY_FREE_PORT


@pytest.mark.parametrize(
    ("variables", "expected"),
    [
        (
            {"RANK": "3", "WORLD_SIZE": "8", "LOCAL_RANK": "1", "MASTER_ADDR": "a", "MASTER_PORT": "5"},
            (3, 8, 1, "a", 5),
        ),
        (
            {"OMPI_COMM_WORLD_RANK": "1", "OMPI_COMM_WORLD_SIZE": "2", "OMPI_COMM_WORLD_LOCAL_RANK": "1"},
            (1, 2, 1, "127.0.0.1", 29500),
        ),
        (
            {
                "SLURM_PROCID": "5",
                "SLURM_STEP_NUM_TASKS": "8",
                "SLURM_LOCALID": "1",
                "SLURM_JOB_NODELIST": "gpu[03-07,9],login1",
                "SLURM_JOB_ID": "123",
                "SLURM_NODEID": "1",
                "SLURM_STEP_TASKS_PER_NODE": "4(x2)",
            },
            (5, 8, 1, "gpu03", 20123),
        ),
        (
            SLURM_STEP | {"SLURM_STEP_NODELIST": "b[1-2]", "SLURM_JOB_NODELIST": "a,b[1-2]"} | TWO_NODES,
            (6, 9, 0, "b1", 29500),
        ),
        (SLURM_STEP | {"SLURM_JOB_NODELIST": "a", "SLURM_JOB_ID": "7"}, (6, 9, 0, "127.0.0.1", 20007)),
        (OPEN_MPI | {"SLURM_JOB_NODELIST": "a,b", "SLURM_STEP_NODELIST": "b"}, (3, 4, 1, "a", 29500)),
    ],
)
def test_each_launcher_tells_rank_and_world(variables: dict[str, str], expected: tuple[object, ...]) -> None:
    found = read_environment(variables)
    assert (found.rank, found.world_size, found.local_rank, found.master_address, found.master_port) == expected


@pytest.mark.parametrize(
    ("variables", "expected"),
    [
        (TORCH | {"LOCAL_WORLD_SIZE": "2"}, 2),  # torchrun
        (TORCH | {"LOCAL_SIZE": "2"}, 2),  # deepspeed
        (TORCH, 4),
        (OPEN_MPI | {"MASTER_ADDR": "a"}, 2),
        ({"PMI_RANK": "3", "PMI_SIZE": "4", "MPI_LOCALRANKID": "1", "MPI_LOCALNRANKS": "4"}, 4),
        (SLURM_STEP | {"SLURM_STEP_TASKS_PER_NODE": "4(x2),1", "SLURM_NODEID": "0"}, 4),
        (SLURM_STEP | {"SLURM_STEP_TASKS_PER_NODE": "4(x2),1", "SLURM_NODEID": "1"}, 4),
        (SLURM_STEP | {"SLURM_STEP_TASKS_PER_NODE": "4(x2),1", "SLURM_NODEID": "2"}, 1),
        (SLURM_STEP | {"SLURM_STEP_TASKS_PER_NODE": "2,4,3", "SLURM_NODEID": "2"}, 3),
        (SLURM_STEP | {"SLURM_STEP_TASKS_PER_NODE": "9", "SLURM_NODEID": "0"}, 9),
        (SLURM_STEP, 9),
        ({}, 1),
    ],
)
def test_each_launcher_tells_the_ranks_of_this_node(variables: dict[str, str], expected: int) -> None:
    assert read_environment({"SLURM_JOB_NODELIST": "a"} | variables).local_world_size == expected


def test_ranks_on_several_nodes_need_to_know_where_rank_0_is() -> None:
    with pytest.raises(InputError, match="Open MPI started ranks on several nodes"):
        read_environment(OPEN_MPI)


def test_a_command_of_a_batch_script_is_alone_in_its_world() -> None:
    variables = {"SLURM_PROCID": "0", "SLURM_NTASKS": "8", "SLURM_LOCALID": "0", "SLURM_TASKS_PER_NODE": "4(x2)"}
    assert read_environment(variables).world_size == 1


def test_srun_with_pmi_keeps_the_local_rank_of_slurm() -> None:
    variables = {"PMI_RANK": "5", "PMI_SIZE": "8", "SLURM_PROCID": "5", "SLURM_STEP_NUM_TASKS": "8"}
    variables |= {"SLURM_LOCALID": "1", "SLURM_NODEID": "1", "SLURM_STEP_TASKS_PER_NODE": "4(x2)", "MASTER_ADDR": "a"}
    environment = read_environment(variables)
    assert (environment.launcher, environment.rank, environment.local_rank) == ("SLURM", 5, 1)


def test_the_launcher_nearest_to_the_process_wins() -> None:
    variables = {"RANK": "1", "WORLD_SIZE": "2", "LOCAL_RANK": "1"}
    variables |= {"SLURM_PROCID": "0", "SLURM_STEP_NUM_TASKS": "1", "SLURM_LOCALID": "0"}
    assert read_environment(variables).world_size == 2


def test_contradicting_variables_are_refused() -> None:
    with pytest.raises(InputError, match="RANK=4 is outside WORLD_SIZE=4"):
        read_environment({"RANK": "4", "WORLD_SIZE": "4", "LOCAL_RANK": "0"})
    with pytest.raises(InputError, match="RANK=1 comes without LOCAL_RANK"):
        read_environment({"RANK": "1", "WORLD_SIZE": "4"})
    with pytest.raises(InputError, match="LOCAL_RANK=2 does not fit 2 ranks on this node of 4"):
        read_environment({"RANK": "2", "WORLD_SIZE": "4", "LOCAL_RANK": "2", "LOCAL_WORLD_SIZE": "2"})
