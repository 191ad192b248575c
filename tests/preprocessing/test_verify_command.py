"""python -m preprocessing.verify: exit codes and what it says."""

import sys
from pathlib import Path

import pytest

from hyena_ds.errors import guarded
from hyena_ds.genome.plan import ShardPlan
from hyena_ds.genome.shard import shard_genome
from preprocessing import verify

LAMBDA = Path(__file__).parents[1] / "data" / "lambda_virus.fa.gz"


@pytest.fixture
def shards(tmp_path):
    shard_genome(ShardPlan.of(LAMBDA), tmp_path / "shards", say=lambda line: None)
    return tmp_path / "shards"


@pytest.fixture
def run(monkeypatch, capsys):
    def command(directory: Path) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["verify", str(directory)])
        code = guarded(verify.main)
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return command


def test_true_shards_hold(run, shards):
    code, out, err = run(shards)
    assert (code, err) == (0, "")
    assert "1 shards, 48,502 bases" in out


def test_a_lie_ends_with_one_line_and_exit_code_2(run, shards):
    path = shards / "shard-000000.tar"
    content = bytearray(path.read_bytes())
    content[10_000] ^= 0x20
    path.write_bytes(content)
    code, out, err = run(shards)
    assert (code, out) == (2, "")
    assert err.startswith("error: shard-000000.tar record 000000000: bases 0-48,502 of the record fail their CRC-32")
    assert err.count("\n") == 1


def test_a_directory_without_shards_is_refused(run, tmp_path):
    code, _, err = run(tmp_path)
    assert code == 2
    assert "no index.json" in err
