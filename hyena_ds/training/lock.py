"""One run directory, one run."""

import fcntl
from pathlib import Path
from typing import TextIO

from hyena_ds.errors import FULL_STORAGE, InputError

LOCK_NAME = ".lock"


def lock_directory(directory: Path) -> TextIO:
    """Make `directory` and hold it while the returned file is open; a process that ends in any way lets go.

    Raises InputError where it cannot be made, or another process holds it.
    """
    try:
        directory.mkdir(parents=True, exist_ok=True)
        file = (directory / LOCK_NAME).open("w")
    except OSError as error:
        if error.errno in FULL_STORAGE:
            raise
        raise InputError(f"run_directory={directory} cannot be written ({error.strerror}); name another one") from None
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        file.close()
        raise InputError(f"run_directory={directory} is in use by another run; stop it, or name another one") from None
    except OSError:  # a file system without locks: nothing tells two runs apart there
        pass
    return file
