"""Directories that are complete or absent."""

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from hyena_ds.errors import FULL_STORAGE, InputError
from hyena_ds.hub.public_config import CONFIG_NAME

EXPORTED_SUFFIXES = (".json", ".safetensors", ".py", ".md", ".ckpt")


def check_output(output: Path, *, overwrite: bool) -> None:
    """Raises InputError where `output` exists, unless `overwrite` is set and it is an exported model."""
    if output.exists() and not overwrite:
        raise InputError(
            f"{output} exists; choose another --output (launch/export.py replaces an export with --overwrite)"
        )
    if output.exists() and not (output.is_dir() and (output / CONFIG_NAME).is_file()):
        raise InputError(f"{output} is no exported model, so --overwrite leaves it alone; choose another --output")
    for path in sorted(output.iterdir()) if output.exists() else []:
        if (path.is_dir() and path.name != "__pycache__") or path.suffix not in EXPORTED_SUFFIXES:
            raise InputError(
                f"{path} is no part of an export, so --overwrite leaves {output} alone; move it away first"
            )


@contextmanager
def new_directory(output: Path, *, overwrite: bool = False) -> Iterator[Path]:
    """A directory beside `output` that takes its name when the block ends well, and vanishes when it does not.

    Raises InputError as `check_output` does.
    """
    check_output(output, overwrite=overwrite)
    try:
        output.parent.mkdir(parents=True, exist_ok=True)
        workplace = Path(tempfile.mkdtemp(prefix=f".{output.name}.", dir=output.parent))
    except OSError as error:
        if error.errno in FULL_STORAGE:
            raise
        raise InputError(f"{output.parent} cannot be written ({error.strerror}); choose another --output") from None
    aside, replaced = workplace / "new", workplace / "old"
    try:
        aside.mkdir()
        yield aside
        if output.exists():
            output.rename(replaced)
        aside.rename(output)
    finally:
        shutil.rmtree(workplace, ignore_errors=True)
