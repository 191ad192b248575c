"""The job scripts on a real SLURM controller with two nodes."""

import json
import signal
from pathlib import Path

import pytest

from tests.cluster.conftest import GENOME, STEPS, Trace, manifest, trace
from tests.cluster.slurm import SlurmCluster

pytestmark = pytest.mark.cluster

PRETRAIN = "launch/slurm/pretrain.sbatch"
TWO_NODES = ("--nodes=2", "--ntasks-per-node=1")


def queued_again(cluster: SlurmCluster, job: str, *changes: str) -> None:
    """Wait until the job is in the queue a second time, and let it start in seconds instead of SLURM's two minutes."""
    cluster.wait_for(job, "PENDING", restarts=1)
    # Within the second of its end a node would still hold the job for killed.
    cluster.ask("scontrol", "update", f"JobId={job}", "StartTime=now+3", *changes)


def test_shards_then_a_signalled_run_then_its_export(
    cluster: SlurmCluster, config: Path, uninterrupted: Trace, tmp_path: Path
) -> None:
    shards, export = tmp_path / "shards", tmp_path / "export"
    words = ("--fasta", GENOME, "--output", shards)
    preprocess = cluster.submit("--nodes=2", "--ntasks=2", "launch/slurm/preprocess.sbatch", *words)
    after = f"--dependency=afterok:{preprocess}"
    pretrain = cluster.submit(after, *TWO_NODES, PRETRAIN, config, f"data.directory={shards}")
    words = ("--checkpoint", tmp_path / "run", "--output", export)
    exported = cluster.submit(f"--dependency=afterok:{pretrain}", "launch/slurm/export.sbatch", *words)

    cluster.wait_for_path(pretrain, manifest(config, 30))
    cluster.ask("scancel", "--signal=USR1", pretrain)
    queued_again(cluster, pretrain)
    stopped = len(trace(config))
    assert 30 <= stopped < STEPS
    assert cluster.facts(exported)["Dependency"] == f"afterok:{pretrain}(unfulfilled)"

    cluster.wait_for(exported, "COMPLETED")
    assert f"resuming from {manifest(config, stopped).parent}" in cluster.log(pretrain)
    assert not (config.parent / "run" / "stopped.json").exists()
    assert trace(config) == uninterrupted
    assert (export / "model.safetensors").is_file()


def test_a_killed_rank_costs_no_more_than_the_way_since_the_last_checkpoint(
    cluster: SlurmCluster, config: Path, uninterrupted: Trace
) -> None:
    job = cluster.submit(*TWO_NODES, PRETRAIN, config)
    cluster.wait_for_path(job, manifest(config, 30))
    cluster.kill_task(job, node=1)
    queued_again(cluster, job)
    cluster.wait_for(job, "COMPLETED")
    assert "lost after a new checkpoint" in cluster.log(job)
    assert trace(config) == uninterrupted


def test_the_time_limit_reaches_the_ranks_and_a_cancelled_job_stays_away(cluster: SlurmCluster, config: Path) -> None:
    job = cluster.submit(*TWO_NODES, PRETRAIN, config, "stages.1.steps=1000000")
    cluster.wait_for_path(job, manifest(config, 30))
    cluster.ask("scontrol", "update", f"JobId={job}", "TimeLimit=1")
    queued_again(cluster, job, "TimeLimit=60")
    marker = json.loads((config.parent / "run" / "stopped.json").read_text())
    assert marker["reason"] == signal.SIGUSR1.name
    cluster.wait_for_path(job, manifest(config, marker["step"] // 30 * 30 + 30))
    cluster.ask("scancel", job)
    assert cluster.wait_for(job, "CANCELLED")["Restarts"] == "1"
    assert json.loads((config.parent / "run" / "stopped.json").read_text())["step"] > marker["step"]


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["no-such.yaml"], "no-such.yaml"),
        ([], "name the config"),
        (["{config}", "batch.tokens_per_step=896"], "data-parallel size 2"),
    ],
)
def test_bad_input_ends_the_job_with_code_2(cluster: SlurmCluster, config: Path, words: list[str], told: str) -> None:
    (config.parent / "run").mkdir()
    (config.parent / "run" / "stopped.json").touch()  # of an earlier job
    job = cluster.submit(*TWO_NODES, PRETRAIN, *(word.format(config=config) for word in words))
    facts = cluster.wait_for(job, "FAILED")
    assert (facts["ExitCode"], facts["Restarts"]) == ("2:0", "0")
    assert cluster.log(job).count("error:") == 1
    assert told in cluster.log(job)


def test_a_job_without_an_environment_says_so(cluster: SlurmCluster, config: Path) -> None:
    job = cluster.submit(PRETRAIN, config, VIRTUAL_ENV="/nowhere")
    assert cluster.wait_for(job, "FAILED")["ExitCode"] == "2:0"
    assert "no Python in /nowhere/bin" in cluster.log(job)


def test_a_job_submitted_elsewhere_says_so(cluster: SlurmCluster, config: Path, tmp_path: Path) -> None:
    job = cluster.submit(f"--chdir={tmp_path}", PRETRAIN, config)
    assert cluster.wait_for(job, "FAILED")["ExitCode"] == "2:0"
    assert f"submit in the repository's root, not in {tmp_path}" in cluster.log(job)
