"""The output directory: built aside, then renamed, so that it is complete or absent."""

import os
import re
import shutil
from pathlib import Path

from hyena_ds.errors import FULL_STORAGE, InputError
from hyena_ds.genome.index import INDEX_NAME

SHARD_NAME = re.compile(r"shard-\d+\.tar")


def partial_directory(output: Path) -> Path:
    """Where the shards of `output` are built: on the same file system, hidden beside it."""
    place = output.resolve()
    return place.with_name(f".{place.name}.partial")


def check_output(output: Path, overwrite: bool) -> None:
    """Raise InputError where `output` holds something that must not be replaced."""
    if not output.exists():
        return
    if not output.is_dir():
        raise InputError(f"{output} is a file; name a directory for the shards")
    if output.is_mount():
        raise InputError(f"{output} is a mount point, which cannot be replaced at once; name a directory inside it")
    if not any(output.iterdir()):
        return
    if not overwrite:
        raise InputError(f"{output} is not empty; name another directory, or replace it with --overwrite")
    if not (output / INDEX_NAME).is_file():
        raise InputError(f"{output} holds no {INDEX_NAME}, so --overwrite does not replace it; name another directory")
    for path in sorted(output.iterdir()):
        if not (path.name == INDEX_NAME or SHARD_NAME.fullmatch(path.name)):
            raise InputError(f"{path} is no shard, so --overwrite does not replace {output}; move it away first")


def make_partial(output: Path, overwrite: bool) -> Path:
    """An empty directory to build the shards of `output` in; what a killed run left there is removed."""
    check_output(output, overwrite)
    partial = partial_directory(output)
    try:
        if partial.exists():
            shutil.rmtree(partial)
        partial.mkdir(parents=True)
    except OSError as error:
        if error.errno in FULL_STORAGE:
            raise
        raise InputError(f"{partial.parent} cannot be written ({error.strerror}); name another output") from None
    return partial


def sync(path: Path) -> None:
    """Wait until a file, or a directory's list of names, is on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def publish(partial: Path, output: Path) -> None:
    """Rename the finished `partial` to `output`, in place of what was there."""
    output = output.resolve()
    sync(partial)
    replaced = output.with_name(f".{output.name}.replaced")
    if replaced.exists():
        shutil.rmtree(replaced)
    if output.exists():
        output.rename(replaced)
    partial.rename(output)
    sync(output.parent)
    shutil.rmtree(replaced, ignore_errors=True)
