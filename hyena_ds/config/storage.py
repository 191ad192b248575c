"""Whether a command can write where it is asked to, told before its work begins."""

import os
from pathlib import Path

from hyena_ds.errors import InputError


def check_writable(directory: Path, name: str) -> None:
    """Raises InputError, which calls it by `name`, where nothing can be written under `directory`; makes nothing."""
    existing = next(place for place in (directory, *directory.absolute().parents) if place.exists())
    if not existing.is_dir():
        raise InputError(f"{name}: {existing} is a file; name another directory")
    if not os.access(existing, os.W_OK | os.X_OK):
        raise InputError(f"{name}: {existing} cannot be written; name another directory")
