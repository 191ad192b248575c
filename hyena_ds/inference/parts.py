"""Output that survives a kill: whole parts beside it while a job runs, one file when it is done.

genes.parquet.parts/
    job.json                            what the results depend on
    part-000000-0f3a….arrow             the rows of some items, named by a digest of them
"""

import hashlib
import json
import shutil
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any, Protocol

import pyarrow as pa

from hyena_ds.errors import FULL_STORAGE, InputError, StorageError
from hyena_ds.genome.workspace import sync
from hyena_ds.inference.formats import writer_for

JOB_NAME = "job.json"
# At once: other threads run while much is hashed, not while items are gone through.
HASHED_ITEMS = 64


class Item(Protocol):
    """What a part has rows of; `len` is in bases."""

    @property
    def identity(self) -> bytes:
        """What tells this item from another."""

    def __len__(self) -> int: ...


def check_output(output: Path, *, overwrite: bool) -> None:
    """Raise InputError where `output` is of no known format, or exists and is not to be overwritten."""
    writer_for(output)
    if output.is_dir():
        raise InputError(f"{output} is a directory; name a file")
    if output.exists() and not overwrite:
        raise InputError(f"{output} exists; choose another output or replace it (overwrite, --overwrite)")


def kept_settings(output: Path) -> dict[str, Any]:
    """The settings of the job that has parts of `output`; empty where none has."""
    job = _directory(output) / JOB_NAME
    return dict(json.loads(job.read_text(encoding="utf-8"))) if job.exists() else {}


@dataclass(frozen=True)
class Parts:
    """The parts of `output`, for a job of these `settings`; a part is complete or absent."""

    output: Path
    settings: dict[str, Any]

    @property
    def directory(self) -> Path:
        return _directory(self.output)

    def open(self) -> int:
        """Make the directory, or find it as a killed job left it; returns how many parts it holds.

        Raises InputError where the parts are of another job.
        """
        try:
            self.directory.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            if error.errno in FULL_STORAGE:
                raise
            raise InputError(f"{self.directory} cannot be made ({error.strerror}); choose another output") from None
        job = self.directory / JOB_NAME
        kept, settings = kept_settings(self.output), json.loads(json.dumps(self.settings))
        if not kept:
            self._write_aside(job, lambda aside: aside.write_text(json.dumps(settings, indent=2) + "\n"))
        elif kept != settings:
            differing = sorted(name for name in kept | settings if kept.get(name) != settings.get(name))
            raise InputError(
                f"{self.directory} holds parts of another job ({job} has another {', '.join(differing)}); "
                "give the same options to go on, delete it, or choose another output"
            )
        return len(list(self.directory.glob("part-*.arrow")))

    def has(self, number: int, items: Sequence[Item]) -> bool:
        """Whether the part of `items` is there; raises InputError where it was made of others."""
        found = next(self.directory.glob(f"part-{number:06d}-*.arrow"), None)
        if found is None:
            return False
        if found != self._part(number, digest_of(items)):
            raise InputError(f"{found} was made of other input than now; delete {self.directory} or restore the input")
        return True

    def add(self, number: int, digest: str, table: pa.Table) -> None:
        """Keep the `table` of items of that digest as a part, on the disk when this returns."""
        self._write_aside(self._part(number, digest), lambda aside: _write_arrow(table, aside))

    def join(self, schema: pa.Schema, behind: Iterable[pa.Table]) -> None:
        """Write all parts in order, then the tables `behind` them, to the output, which appears when it is complete;
        then remove the parts."""
        write = writer_for(self.output)
        self._write_aside(self.output, lambda aside: write(chain(self._tables(), behind), schema, aside))
        shutil.rmtree(self.directory)

    def _tables(self) -> Iterator[pa.Table]:
        for path in sorted(self.directory.glob("part-*.arrow")):
            with pa.memory_map(str(path)) as file:
                yield pa.ipc.open_file(file).read_all()

    def _part(self, number: int, digest: str) -> Path:
        return self.directory / f"part-{number:06d}-{digest[:16]}.arrow"

    def _write_aside(self, path: Path, write: Callable[[Path], object]) -> None:
        aside = self.directory / f".{path.name}"
        try:
            write(aside)
        except pa.ArrowException as error:
            raise StorageError(f"{path} could not be written: {error}; free space or choose another disk") from None
        sync(aside)
        aside.replace(path)
        sync(path.parent)


def _directory(output: Path) -> Path:
    return output.with_name(output.name + ".parts")


def digest_of(items: Sequence[Item]) -> str:
    """What tells these items, in this order, from others."""
    digest = hashlib.sha256()
    for first in range(0, len(items), HASHED_ITEMS):
        digest.update(b"".join(item.identity for item in items[first : first + HASHED_ITEMS]))
    return digest.hexdigest()


def _write_arrow(table: pa.Table, path: Path) -> None:
    """As Arrow has it in memory: written and read several times faster than Parquet, for as long as a job lasts."""
    with pa.OSFile(str(path), "wb") as file, pa.ipc.new_file(file, table.schema) as writer:
        writer.write_table(table)
