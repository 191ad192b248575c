"""Work over many items, part by part: in memory, or to a file that a killed job goes on with."""

import hashlib
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, Literal, Protocol, TypeVar

import pandas as pd
import pyarrow as pa

from hyena_ds.genome.progress import Progress
from hyena_ds.inference.formats import Arrays, arrays_of, frame_of
from hyena_ds.inference.measure import Advance
from hyena_ds.inference.memory import release_freed_memory
from hyena_ds.inference.parts import Parts, check_output

# Of a part, which is what a kill loses at most; a part has fewer bases where their results are large.
PART_BASES = 2**23
PART_BYTES = 2**28

Results = Arrays | pd.DataFrame | Path


class Item(Protocol):
    """What a job works on; `len` is in bases."""

    @property
    def identity(self) -> bytes:
        """What tells this item from another."""

    def __len__(self) -> int: ...


ItemType = TypeVar("ItemType", bound=Item)


@dataclass(frozen=True)
class Job(Generic[ItemType]):
    """Rows computed of `items`.

    Attributes:
        title: what the progress bar calls it.
        items: in an order that is the same each time.
        bases: of all items.
        compute: the table of some items; it tells what it has done, in bases.
        schema: of the tables.
        main: the column that alone is returned as `numpy`.
        settings: all that the rows depend on besides the items, as JSON has it.
        bytes_per_base: of results that stay in memory until a part is done.
    """

    title: str
    items: Iterable[ItemType]
    bases: int
    compute: Callable[[Sequence[ItemType], Advance], pa.Table]
    schema: pa.Schema
    main: str
    settings: dict[str, Any]
    bytes_per_base: int = 1

    def parts(self, part_bases: int) -> Iterator[list[ItemType]]:
        """The items of each part, in order; a part ends with the item that reaches so many bases, or PART_BYTES."""
        enough = min(part_bases, PART_BYTES // self.bytes_per_base)
        part: list[ItemType] = []
        bases = 0
        for item in self.items:
            part.append(item)
            bases += len(item)
            if bases >= enough:
                yield part
                part, bases = [], 0
        if part:
            yield part


@dataclass(frozen=True)
class Delivery:
    """Where rows go: `numpy`, `pandas`, or a file whose suffix says its format; `progress` shows a bar."""

    output: Literal["numpy", "pandas"] | Path
    part_bases: int
    progress: bool

    @classmethod
    def of(cls, output: str | Path, overwrite: bool, part_bases: int, progress: bool) -> "Delivery":
        """To what `output` names, a path unless `numpy` or `pandas`; raises InputError where it cannot be written."""
        match output:
            case "numpy" | "pandas":
                return cls(output, part_bases, progress)
        check_output(Path(output), overwrite=overwrite)
        return cls(Path(output), part_bases, progress)

    def run(self, job: Job[Any]) -> Results:
        """Do the job; returns what `output` asks for, a path where it is one."""
        with Progress(job.title, job.bases, "b", shown=self.progress) as progress:
            if isinstance(self.output, Path):
                self._write(job, self.output, progress.advance)
                return self.output
            tables = [job.compute(part, progress.advance) for part in job.parts(self.part_bases)]
        table = pa.concat_tables(tables) if tables else job.schema.empty_table()
        return frame_of(table) if self.output == "pandas" else arrays_of(table[job.main])

    def _write(self, job: Job[Any], output: Path, advance: Advance) -> None:
        parts = Parts(output, job.settings | {"part_bases": self.part_bases})
        found = parts.open()
        if found:
            print(f"{parts.directory} holds {found:,} parts of this job; it goes on behind them", file=sys.stderr)
        for number, items in enumerate(job.parts(self.part_bases)):
            digest = _digest(items)
            if parts.has(number, digest):
                advance(sum(map(len, items)))
            else:
                parts.add(number, digest, job.compute(items, advance))
                release_freed_memory()
        parts.join(job.schema)


def _digest(items: Sequence[Item]) -> str:
    digest = hashlib.sha256()
    for item in items:
        digest.update(item.identity)
    return digest.hexdigest()
