"""A real SLURM controller and two nodes on this machine, without systemd, on free ports, in one directory."""

import contextlib
import getpass
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from tests.cluster.launch import environment, program
from tests.engine.ranks import ROOT, free_port

PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch")
INSTALL = "apt-get install --no-install-recommends slurm-wlm munge"
NODES = (socket.gethostname(), f"{socket.gethostname()}-second")  # ranks meet on the first: it must have an address
PATIENCE_SECONDS = 120

CONFIGURATION = """\
ClusterName=hyena_ds
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={port}
SlurmUser={user}
SlurmdUser={user}
AuthType=auth/munge
AuthInfo=socket={directory}/munge.socket
StateSaveLocation={directory}/state
SlurmdSpoolDir={directory}/spool.%n
SlurmctldPidFile={directory}/slurmctld.pid
SlurmdPidFile={directory}/slurmd.%n.pid
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
SchedulerParameters=sched_interval=2,batch_sched_delay=0
MpiDefault=none
ReturnToService=2
SlurmdParameters=config_overrides
KillWait=20
MinJobAge=3600
PartitionName=main Nodes=ALL Default=YES MaxTime=60 State=UP
"""


def missing() -> str:
    """Why there is no cluster here, or nothing."""
    absent = [name for name in PROGRAMS if program(name) is None]
    if absent:
        return f"no {', '.join(absent)}: {INSTALL}"
    try:
        socket.gethostbyname(socket.gethostname())
    except OSError:
        return f"this host's name, {socket.gethostname()}, has no address"
    return ""


class SlurmCluster:
    """`sbatch` and its kin against the cluster of `directory`; jobs run in the repository."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.environment = environment(
            SLURM_CONF=str(directory / "slurm.conf"),
            VIRTUAL_ENV=sys.prefix,
            OMPI_ALLOW_RUN_AS_ROOT="1",
            OMPI_ALLOW_RUN_AS_ROOT_CONFIRM="1",
        )
        self._daemons: list[subprocess.Popen[bytes]] = []

    def start(self) -> None:
        directory = self.directory
        for name in ("state", *(f"spool.{node}" for node in NODES)):
            (directory / name).mkdir()
        key = directory / "munge.key"
        key.touch(mode=0o600)
        key.write_bytes(os.urandom(1024))
        host = socket.gethostname()
        lines = CONFIGURATION.format(host=host, port=free_port(), user=getpass.getuser(), directory=directory)
        for node in NODES:
            address = f"NodeHostname={host} NodeAddr=127.0.0.1 Port={free_port()}"
            lines += f"NodeName={node} {address} CPUs=2 RealMemory=1000 State=UNKNOWN\n"
        (directory / "slurm.conf").write_text(lines, encoding="utf-8")
        files = {"socket": "socket", "key-file": "key", "pid-file": "pid", "log-file": "log", "seed-file": "seed"}
        self._start(
            "munged", "--foreground", "--force", *(f"--{o}={directory}/munge.{end}" for o, end in files.items())
        )
        self._wait(lambda: (directory / "munge.socket").exists(), "munged")
        self._start("slurmctld", "-D")
        for node in NODES:
            self._start("slurmd", "-D", "-N", node)
        self._wait(
            lambda: self.ask("sinfo", "-h", "-t", "idle", "-o", "%D", check=False) == str(len(NODES)), "two idle nodes"
        )

    def _start(self, name: str, *words: str) -> None:
        command = [program(name) or name, *words]
        with (self.directory / f"{name}-{len(self._daemons)}.log").open("wb") as log:
            daemon = subprocess.Popen(command, env=self.environment, cwd=ROOT, stdout=log, stderr=log)
        self._daemons.append(daemon)

    def stop(self) -> None:
        """Cancel what still runs, then end the daemons from the last to the first."""
        for job in self.ask("squeue", "-h", "-o", "%i", check=False).split():
            self.ask("scancel", job)
        with contextlib.suppress(AssertionError):
            self._wait(lambda: not self.ask("squeue", "-h", "-o", "%i", check=False), "an empty queue")
        for daemon in reversed(self._daemons):
            daemon.send_signal(signal.SIGTERM)
            daemon.wait(timeout=PATIENCE_SECONDS)

    def ask(self, *words: str, check: bool = True) -> str:
        result = subprocess.run(words, env=self.environment, cwd=ROOT, capture_output=True, text=True, check=False)
        assert result.returncode == 0 or not check, f"{words}: {result.stderr}"
        return result.stdout.strip()

    def submit(self, *words: object, **variables: str) -> str:
        """The number of the new job; its output is in `log(job)`."""
        command = ["sbatch", "--parsable", f"--output={self.directory}/%j.out", *map(str, words)]
        return self.ask("env", *(f"{name}={value}" for name, value in variables.items()), *command)

    def log(self, job: str) -> str:
        path = self.directory / f"{job}.out"
        return path.read_text(encoding="utf-8") if path.exists() else ""

    def facts(self, job: str) -> dict[str, str]:
        """The fields of `scontrol show job`, such as JobState, Restarts and ExitCode."""
        words = self.ask("scontrol", "show", "job", job).split()
        return dict(word.split("=", 1) for word in words if "=" in word)

    def wait_for(self, job: str, state: str, restarts: int = 0) -> dict[str, str]:
        """The facts of the job once it is in this state, started again at least so many times."""

        def reached() -> bool:
            facts = self.facts(job)
            return facts["JobState"] == state and int(facts["Restarts"]) >= restarts

        self._wait(reached, f"job {job} in state {state}", job)
        return self.facts(job)

    def kill_task(self, job: str, *, node: int) -> None:
        """SIGKILL to the Python process of this job's task on one node."""
        for entry in Path("/proc").iterdir():
            with contextlib.suppress(OSError):
                variables = (entry / "environ").read_bytes().split(b"\0") if entry.name.isdigit() else []
                wanted = {f"SLURM_JOB_ID={job}", f"SLURM_NODEID={node}", "SLURM_STEP_ID=0"}
                if wanted <= {variable.decode(errors="replace") for variable in variables}:
                    os.kill(int(entry.name), signal.SIGKILL)

    def wait_for_path(self, job: str, path: Path) -> None:
        self._wait(path.exists, str(path), job)

    def _wait(self, condition: Callable[[], bool], what: str, job: str = "") -> None:
        end = time.monotonic() + PATIENCE_SECONDS
        while not condition():
            assert time.monotonic() < end, f"{what} never came; {self.facts(job) if job else ''}\n{self.log(job)}"
            time.sleep(0.05)


@contextlib.contextmanager
def slurm_cluster(directory: Path) -> Iterator[SlurmCluster]:
    cluster = SlurmCluster(directory)
    try:
        cluster.start()
        yield cluster
    finally:
        cluster.stop()
