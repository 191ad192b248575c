import json
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from hyena_ds.engine.checkpoint_store import (
    MANIFEST_NAME,
    Checkpoint,
    find_flaw,
    list_checkpoints,
    newest_checkpoint,
    prune,
    read_checkpoint,
    write_checkpoint,
)
from hyena_ds.errors import InputError
from tests.engine.ranks import ROOT


def make_checkpoint(step: int, elements: int = 1000) -> Checkpoint:
    torch.manual_seed(step)
    names = ("backbone.a.weight", "backbone.b.weight")
    first, second, third, fourth = ({name: torch.randn(elements) for name in names} for _ in range(4))
    return Checkpoint(
        step=step,
        parameters=first,
        config="seed: 1\n",
        adam_step=step,
        exp_avg=second,
        exp_avg_sq=third,
        average=fourth,
        progress={"cursor": {"stage": 0, "epoch": 1, "sample": 7}, "tokens": 2**40},
    )


def test_a_checkpoint_reads_back_as_it_was(tmp_path: Path) -> None:
    written = make_checkpoint(12)
    found = read_checkpoint(write_checkpoint(tmp_path, written))
    for kind in ("parameters", "exp_avg", "exp_avg_sq", "average"):
        for name, value in getattr(written, kind).items():
            assert torch.equal(getattr(found, kind)[name], value)
    assert (found.step, found.adam_step, found.progress, found.config) == (12, 12, written.progress, written.config)


def test_tensors_are_shared_out_by_size(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hyena_ds.engine.checkpoint_store.FILE_BYTES", 4000)
    path = write_checkpoint(tmp_path, make_checkpoint(1))
    assert len(list(path.glob("parameters-*-of-00002.safetensors"))) == 2
    assert read_checkpoint(path).parameters.keys() == make_checkpoint(1).parameters.keys()


def _flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (lambda path: (path / MANIFEST_NAME).unlink(), "no manifest"),
        (lambda path: (path / MANIFEST_NAME).write_text("{"), "manifest is damaged"),
        (lambda path: (path / MANIFEST_NAME).write_text("{}"), "manifest is damaged"),
        (lambda path: (path / "state.json").unlink(), "state.json is missing"),
        (lambda path: _flip(next(path.glob("exp_avg-*"))), "does not match its checksum"),
        (lambda path: (path / "config.yaml").write_text("seed"), "4 bytes instead of 8"),
    ],
)
def test_a_damaged_checkpoint_is_passed_over_and_named(tmp_path: Path, damage: object, reason: str) -> None:
    good = write_checkpoint(tmp_path, make_checkpoint(1))
    bad = write_checkpoint(tmp_path, make_checkpoint(2))
    damage(bad)  # type: ignore[operator]
    found, passed_over = newest_checkpoint(tmp_path)
    assert found == good
    assert len(passed_over) == 1
    assert str(bad) in passed_over[0]
    assert reason in passed_over[0]
    with pytest.raises(InputError, match=reason):
        read_checkpoint(bad)


def test_a_run_never_starts_over_where_checkpoints_exist(tmp_path: Path) -> None:
    assert newest_checkpoint(tmp_path) == (None, [])
    (write_checkpoint(tmp_path, make_checkpoint(1)) / MANIFEST_NAME).unlink()
    with pytest.raises(InputError, match="another run_directory"):
        newest_checkpoint(tmp_path)


def test_pruning_keeps_the_newest_and_never_the_only_good_one_goes(tmp_path: Path) -> None:
    paths = [write_checkpoint(tmp_path, make_checkpoint(step)) for step in range(1, 6)]
    for path in paths[2:]:
        (path / MANIFEST_NAME).unlink()
    prune(tmp_path, keep_last=2)
    assert list_checkpoints(tmp_path) == [paths[1], paths[3], paths[4]]


SAVE_FOREVER = """
import sys, pathlib
from tests.engine.test_checkpoint_store import make_checkpoint
from hyena_ds.engine.checkpoint_store import write_checkpoint
for step in range(1, 10_000):
    write_checkpoint(pathlib.Path(sys.argv[1]), make_checkpoint(step, 200_000))
"""


def test_a_process_killed_while_saving_leaves_a_good_checkpoint(tmp_path: Path) -> None:
    for patience in (0.0, 0.013, 0.029):
        process = subprocess.Popen([sys.executable, "-c", SAVE_FOREVER, tmp_path], cwd=ROOT)
        first = len(list_checkpoints(tmp_path)) + 2
        while len(list_checkpoints(tmp_path)) < first:
            assert process.poll() is None
            time.sleep(0.005)
        time.sleep(patience)
        process.kill()
        process.wait()
        found, _ = newest_checkpoint(tmp_path)
        assert found is not None
        assert find_flaw(found) is None


FULL = """
import sys, pathlib, resource
from tests.engine.test_checkpoint_store import make_checkpoint
from hyena_ds.engine.checkpoint_store import write_checkpoint
from hyena_ds.errors import run_command
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, resource.RLIM_INFINITY))
import signal; signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
def main():
    write_checkpoint(pathlib.Path(sys.argv[1]), make_checkpoint(2, 200_000))
run_command(main)
"""


def test_full_storage_is_said_in_one_line_and_costs_nothing(tmp_path: Path) -> None:
    good = write_checkpoint(tmp_path, make_checkpoint(1))
    done = subprocess.run([sys.executable, "-c", FULL, tmp_path], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 74, done.stderr
    (line,) = done.stderr.splitlines()
    assert "step 2" in line
    assert "free space" in line
    assert newest_checkpoint(tmp_path) == (good, [])
    assert [path.name for path in tmp_path.iterdir()] == [good.name]


def test_what_a_crash_left_is_cleared_by_the_next_save(tmp_path: Path) -> None:
    leftover = tmp_path / ".partial-00000009"
    leftover.mkdir()
    (leftover / "parameters-00001-of-00001.safetensors").write_bytes(b"half")
    write_checkpoint(tmp_path, make_checkpoint(1))
    assert not leftover.exists()


def test_the_manifest_lists_every_file(tmp_path: Path) -> None:
    path = write_checkpoint(tmp_path, make_checkpoint(3))
    listed = set(json.loads((path / MANIFEST_NAME).read_text()))
    assert listed == {file.name for file in path.iterdir()} - {MANIFEST_NAME}
