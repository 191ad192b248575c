"""python -m preprocessing.shard: options, exit codes, one line an error, several ranks."""

import gzip
import os
import resource
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from hyena_ds.errors import guarded
from hyena_ds.genome.index import read_index
from preprocessing import shard

ROOT = Path(__file__).parents[2]
DATA = ROOT / "tests" / "data"
MPIRUN = Path(sys.executable).parent / "mpirun"
MPI_COMMAND = [MPIRUN, "--allow-run-as-root", "--oversubscribe", "-n", "2", sys.executable, "-m", "preprocessing.shard"]


@pytest.fixture
def run(monkeypatch, tmp_path, capsys):
    """Run the command in `tmp_path`; its exit code, output and error output."""

    def command(*words: str) -> tuple[int, str, str]:
        monkeypatch.chdir(tmp_path)
        monkeypatch.setattr(sys, "argv", ["shard", *map(str, words)])
        code = guarded(shard.main)
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    (tmp_path / "toy.fa").write_bytes(b">chr1\nACGTacgtNN\nRRNNACGTAC\n>chr2\nGGGGCCCCTT\n")
    (tmp_path / "pet.fa").write_bytes(b">chr1\nTTTTTTTTTT\n")
    return command


def environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}


def test_the_summary_says_what_was_made(run, tmp_path):
    code, out, err = run("--fasta", "toy.fa", "--output", "out", "--length", "4", "--length", "8", "16")
    assert (code, err) == (0, "")
    for part in (
        "1 shards, 2 records",
        "toy (toy): 2 sequences, 30 bases, N 6 bases, soft-masked 4 bases, GC 62.50% of A, C, G, T",
        "ambiguity codes stored as N: R 2 bases",
        "bases by split: train 24, valid 3, test 3; policy tile",
        "at 4 bases: windows train 5, valid 2, test 2; overlap between splits: none",
        "at 16 bases: windows train 2, valid 2, test 2",
        "next: python -m preprocessing.verify out",
    ):
        assert part in out
    assert (tmp_path / "out" / "index.json").is_file()


def test_overlap_between_splits_is_reported_at_each_length(run, tmp_path):
    (tmp_path / "toy.bed").write_text("1\t2\t4\ttrain\nchr1\t8\t10\ttest\nchr2\t0\t4\tval\n")
    code, out, _ = run("--fasta", "toy.fa", "--bed", "toy.bed", "--output", "out", "--length", "4", "10")
    assert code == 0
    assert "as given: overlap between splits: none" in out
    assert "at 4 bases: windows train 1, valid 1, test 1; overlap between splits: none" in out
    assert "at 10 bases: windows train 1, valid 1, test 1; overlap between splits: train and test share 6 bases" in out
    assert read_index(tmp_path / "out").policy == "extend"


def test_species_assemblies_and_beds_go_by_name(run, tmp_path):
    (tmp_path / "pet.bed").write_text("chr1\t0\t10\ttest\n")
    words = ["--fasta", "human=toy.fa", "--fasta", "cat=pet.fa", "--assembly", "human=hg0", "--bed", "cat=pet.bed"]
    assert run(*words, "--policy", "tile", "--output", "out")[0] == 0
    index = read_index(tmp_path / "out")
    assert [(source.species, source.assembly) for source in index.sources] == [("human", "hg0"), ("cat", "pet")]
    assert index.splits["test"][-1].sequence == 2


def test_one_species_may_lie_in_several_files(run, tmp_path):
    (tmp_path / "more.fa").write_bytes(b">chr3\nACGT\n")
    assert run("--fasta", "toy.fa", "--fasta", "more.fa", "--species", "human", "--output", "out")[0] == 0
    assert read_index(tmp_path / "out").species() == ("human",)


def test_chromosomes_and_fractions_choose_the_splits(run, tmp_path):
    assert run("--fasta", "toy.fa", "--test-chromosomes", "2", "--output", "a")[0] == 0
    assert read_index(tmp_path / "a").bases("test") == 10
    assert run("--fasta", "toy.fa", "--split-fractions", "0.5,0,0.5", "--output", "b")[0] == 0
    assert [read_index(tmp_path / "b").bases(split) for split in ("train", "valid", "test")] == [15, 0, 15]


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (["--fasta", "absent.fa"], "no FASTA file at absent.fa"),
        (["--fasta", "empty.fa"], "empty.fa is empty"),
        (["--fasta", "protein.fa"], "protein"),
        (["--fasta", "return.fa"], "CR without LF"),
        (["--fasta", "toy.fa", "--bed", "beyond.bed"], "beyond.bed line 2: chr2:0-11 ends beyond chr2"),
        (["--fasta", "toy.fa", "--bed", "unknown.bed"], "unknown.bed line 1: no sequence 'chr9'; near names are chr"),
        (["--fasta", "toy.fa", "--test-chromosomes", "chr9"], "no sequence 'chr9'"),
        (["--fasta", "toy.fa", "--split-fractions", "0.5,0.5"], "split fractions"),
        (["--fasta", "toy.fa", "--split-fractions", "1,0,0", "--bed", "unknown.bed"], "one way to split"),
        (["--fasta", "toy.fa", "--length", "0"], "--length 0"),
        (["--fasta", "toy.fa", "--policy", "extend"], "policy extend needs intervals"),
        (["--fasta", "a=toy.fa", "--fasta", "b=pet.fa", "--bed", "unknown.bed"], "say which species"),
        (["--fasta", "a=toy.fa", "--bed", "c=unknown.bed"], "no --fasta is of species 'c'"),
        (["--fasta", "toy.fa", "--cache", "toy.fa"], "cache toy.fa cannot be made"),
        (["--fasta", "toy.fa", "--output", "/proc/out"], "cache /proc/.fasta_cache cannot be made"),
        (["--fasta", "toy.fa", "--output", "/proc/out", "--cache", "here"], "/proc cannot be written"),
    ],
)
def test_bad_input_ends_with_one_line_and_no_output(run, tmp_path, words, reason):
    (tmp_path / "empty.fa").touch()
    (tmp_path / "protein.fa").write_bytes(b">p\nMKLVEFPQ\n")
    (tmp_path / "return.fa").write_bytes(b">chr1\rACGT\r")
    (tmp_path / "beyond.bed").write_text("chr1\t0\t4\nchr2\t0\t11\n")
    (tmp_path / "unknown.bed").write_text("chr9\t0\t4\n")
    code, out, err = run("--output", "out", *words)
    assert (code, out) == (2, "")
    assert err.startswith("error: ")
    assert err.count("\n") == 1
    assert reason in err
    assert not (tmp_path / "out").exists()
    assert not list(tmp_path.glob(".out*"))


def test_a_lying_index_is_said_in_one_line(run, tmp_path):
    (tmp_path / "toy.fa.fai").write_text("chr1\t5\t6\t5\t6\n")
    code, _, err = run("--fasta", "toy.fa", "--output", "out")
    assert code == 0
    assert "toy.fa.fai does not describe toy.fa" in err
    assert err.count("\n") == 1


def test_full_storage_leaves_nothing_and_exits_74(tmp_path):
    fasta = tmp_path / "yeast.fa"
    fasta.write_bytes(gzip.decompress((DATA / "yeast_chr1.fa.gz").read_bytes()))
    words = [sys.executable, "-m", "preprocessing.shard", "--fasta", fasta, "--output", tmp_path / "out"]
    done = subprocess.run(
        words,
        env=environment(),
        capture_output=True,
        text=True,
        cwd=ROOT,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000)),
    )
    assert done.returncode == 74, done.stderr
    assert done.stderr.startswith("error: storage failed")
    assert done.stderr.count("\n") == 1
    assert sorted(path.name for path in tmp_path.iterdir()) == [".fasta_cache", "yeast.fa"]


needs_mpi = pytest.mark.skipif(not MPIRUN.is_file() or not shutil.which(MPIRUN), reason="no mpirun beside this python")


@needs_mpi
def test_two_ranks_write_the_bytes_of_one(run, tmp_path):
    words = ["--fasta", DATA / "yeast_chr1.fa.gz", "--fasta", DATA / "yeast_chr2.fa.gz", "--length", "1000"]
    words += ["--record-bases", "100000", "--shard-bases", "200000"]
    assert run(*words, "--output", "one")[0] == 0
    done = subprocess.run(
        [*MPI_COMMAND, *words, "--output", tmp_path / "two"],
        env=environment(),
        capture_output=True,
        text=True,
        cwd=ROOT,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("next: python -m preprocessing.verify") == 1
    one, two = ({path.name: path.read_bytes() for path in (tmp_path / name).iterdir()} for name in ("one", "two"))
    assert len(one) == 7
    assert one == two


@needs_mpi
def test_the_error_of_one_rank_ends_all_with_one_line(run, tmp_path):
    (tmp_path / "protein.fa").write_bytes(b">p\nMKLVEFPQ\n")
    words = ["--fasta", tmp_path / "toy.fa", "--fasta", tmp_path / "protein.fa", "--output", tmp_path / "out"]
    done = subprocess.run(
        [*MPI_COMMAND, *words], env=environment(), capture_output=True, text=True, cwd=ROOT, timeout=120
    )
    assert done.returncode == 2
    assert done.stderr.count("error: ") == 1
    assert "this is protein, not DNA; give a nucleotide FASTA (met by rank 1)" in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "out").exists()


@needs_mpi
def test_ranks_that_mpi_does_not_know_are_refused(run, tmp_path):
    """Under srun without PMI each process would do all the work, over the others."""
    command = [sys.executable, "-m", "preprocessing.shard", "--fasta", "toy.fa", "--output", "out"]
    started_by_srun = {"SLURM_PROCID": "0", "SLURM_STEP_NUM_TASKS": "2", "SLURM_LOCALID": "0"}
    result = subprocess.run(
        command, cwd=tmp_path, env=environment() | started_by_srun, capture_output=True, text=True, check=False
    )
    assert result.returncode == 2, result.stderr
    assert "error: 2 processes were started, and MPI knows 1 of them; start by mpirun" in result.stderr
    assert not (tmp_path / "out").exists()
