"""Output that survives a kill: whole parts beside it while a job runs, one file when it is done.

genes.parquet.parts/
    job.json                            what the results depend on
    part-000000-0f3a….parquet           the rows of some items, named by a digest of them
"""

import json
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from hyena_ds.errors import FULL_STORAGE, InputError, StorageError
from hyena_ds.genome.workspace import sync
from hyena_ds.inference.formats import writer_for

JOB_NAME = "job.json"


def check_output(output: Path, *, overwrite: bool) -> None:
    """Raise InputError where `output` is of no known format, or exists and is not to be overwritten."""
    writer_for(output)
    if output.is_dir():
        raise InputError(f"{output} is a directory; name a file")
    if output.exists() and not overwrite:
        raise InputError(f"{output} exists; choose another output or replace it (overwrite, --overwrite)")


@dataclass(frozen=True)
class Parts:
    """The parts of `output`, for a job of these `settings`; a part is complete or absent."""

    output: Path
    settings: dict[str, Any]

    @property
    def directory(self) -> Path:
        return self.output.with_name(self.output.name + ".parts")

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
        if not job.exists():
            self._write_aside(job, lambda aside: aside.write_text(json.dumps(self.settings, indent=2) + "\n"))
        elif json.loads(job.read_text(encoding="utf-8")) != json.loads(json.dumps(self.settings)):
            raise InputError(
                f"{self.directory} holds parts of another job ({job} says which); "
                "give the same options to go on, delete it, or choose another output"
            )
        return len(list(self.directory.glob("part-*.parquet")))

    def has(self, number: int, digest: str) -> bool:
        """Whether a part is there; raises InputError where it was made of other items."""
        if self._part(number, digest).exists():
            return True
        other = next(self.directory.glob(f"part-{number:06d}-*.parquet"), None)
        if other is not None:
            raise InputError(f"{other} was made of other input than now; delete {self.directory} or restore the input")
        return False

    def add(self, number: int, digest: str, table: pa.Table) -> None:
        """Keep `table` as a part, on the disk when this returns."""
        self._write_aside(self._part(number, digest), lambda aside: pq.write_table(table, aside))

    def join(self, schema: pa.Schema) -> None:
        """Write all parts, in order, to the output, which appears when it is complete; then remove them."""
        write = writer_for(self.output)
        self._write_aside(self.output, lambda aside: write(self._tables(), schema, aside))
        shutil.rmtree(self.directory)

    def _tables(self) -> Iterator[pa.Table]:
        for path in sorted(self.directory.glob("part-*.parquet")):
            yield pq.read_table(path)

    def _part(self, number: int, digest: str) -> Path:
        return self.directory / f"part-{number:06d}-{digest[:16]}.parquet"

    def _write_aside(self, path: Path, write: Callable[[Path], object]) -> None:
        aside = self.directory / f".{path.name}"
        try:
            write(aside)
        except pa.ArrowException as error:
            raise StorageError(f"{path} could not be written: {error}; free space or choose another disk") from None
        sync(aside)
        aside.replace(path)
        sync(path.parent)
