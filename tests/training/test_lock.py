from pathlib import Path

import pytest

from hyena_ds.errors import InputError
from hyena_ds.training.lock import lock_directory


def test_one_run_holds_a_directory_until_it_lets_go(tmp_path: Path) -> None:
    held = lock_directory(tmp_path / "run")
    with pytest.raises(InputError, match="in use by another run"):
        lock_directory(tmp_path / "run")
    held.close()
    lock_directory(tmp_path / "run").close()


def test_a_place_that_cannot_be_written_is_named() -> None:
    with pytest.raises(InputError, match="run_directory=/proc/nowhere cannot be written"):
        lock_directory(Path("/proc/nowhere"))
