import pytest

from hyena_ds.errors import InputError
from hyena_ds.parallel.dimensions import ParallelDimensions
from hyena_ds.parallel.environment import read_environment


def test_a_process_that_no_launcher_started_is_the_only_one() -> None:
    environment = read_environment({"PATH": "/bin"})
    assert (environment.rank, environment.world_size, environment.is_main) == (0, 1, True)
    assert environment.master_address == "127.0.0.1"
    assert environment.master_port > 1024


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
                "SLURM_NTASKS": "8",
                "SLURM_LOCALID": "1",
                "SLURM_JOB_NODELIST": "gpu[03-07,9],login1",
                "SLURM_JOB_ID": "123",
            },
            (5, 8, 1, "gpu03", 20123),
        ),
    ],
)
def test_each_launcher_tells_rank_and_world(variables: dict[str, str], expected: tuple[object, ...]) -> None:
    found = read_environment(variables)
    assert (found.rank, found.world_size, found.local_rank, found.master_address, found.master_port) == expected


def test_the_launcher_nearest_to_the_process_wins() -> None:
    variables = {"RANK": "1", "WORLD_SIZE": "2", "LOCAL_RANK": "1", "SLURM_PROCID": "0", "SLURM_NTASKS": "1"}
    assert read_environment(variables).world_size == 2


def test_contradicting_variables_are_refused() -> None:
    with pytest.raises(InputError, match="RANK=4 is outside WORLD_SIZE=4"):
        read_environment({"RANK": "4", "WORLD_SIZE": "4"})


def test_a_sequence_axis_is_refused_by_name() -> None:
    assert ParallelDimensions(8).data_parallel_size == 8
    with pytest.raises(InputError, match="sequence_parallel_size=2"):
        ParallelDimensions(8, 2)
