"""Work over many items, part by part: in memory, or to a file that a killed job goes on with."""

import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, Literal, NamedTuple, TypeVar

import pandas as pd
import pyarrow as pa

from hyena_ds.genome.progress import Progress
from hyena_ds.inference.formats import Arrays, arrays_of, frame_of
from hyena_ds.inference.measure import Advance
from hyena_ds.inference.memory import release_freed_memory, unsearched_heap
from hyena_ds.inference.overlap import paired, started
from hyena_ds.inference.parts import Item, Parts, check_output, digest_of, kept_settings

# Of a part; a kill loses two at most. It has more where the model's batches are large, which for sequences of like
# length need a choice; and fewer where results are large.
PART_BASES = 2**23
PART_BATCHES = 64
PART_BYTES = 2**28

Results = Arrays | pd.DataFrame | Path
# Makes the table of a part whose results are all there, in any thread.
MakeTable = Callable[[], pa.Table]
ItemType = TypeVar("ItemType", bound=Item)


class Part(NamedTuple, Generic[ItemType]):
    """Items that are computed together, and their number among the parts of a job."""

    number: int
    items: Sequence[ItemType]
    last: bool


@dataclass(frozen=True)
class Job(Generic[ItemType]):
    """Rows computed of `items`.

    Attributes:
        title: what the progress bar calls it.
        items: in an order that is the same each time.
        bases: of all items.
        compute: what makes the table of each part, in order; it reads parts ahead, in a thread, and tells what it has
            done, in bases.
        schema: of the tables.
        main: the column that alone is returned as `numpy`.
        settings: all that the rows depend on besides the items, as JSON has it.
        tokens_per_batch: of the model.
        bytes_per_base: of results that stay in memory until a part is done.
    """

    title: str
    items: Iterable[ItemType]
    bases: int
    compute: Callable[[Iterable[Sequence[ItemType]], Advance], Iterator[MakeTable]]
    schema: pa.Schema
    main: str
    settings: dict[str, Any]
    tokens_per_batch: int
    bytes_per_base: int = 1

    @property
    def part_bases(self) -> int:
        """Of a part unless the caller says otherwise."""
        return max(PART_BASES, PART_BATCHES * self.tokens_per_batch)

    def parts(self, part_bases: int) -> Iterator[Part[ItemType]]:
        """The items in order; a part ends with the item that reaches so many bases, or PART_BYTES."""
        enough = min(part_bases, PART_BYTES // self.bytes_per_base)
        part: list[ItemType] = []
        number = bases = 0
        for item in self.items:
            if bases >= enough:
                yield Part(number, part, last=False)
                part, number, bases = [], number + 1, 0
            part.append(item)
            bases += len(item)
        if part:
            yield Part(number, part, last=True)


@dataclass(frozen=True)
class Delivery:
    """Where rows go: `numpy`, `pandas`, or a file whose suffix says its format; `progress` shows a bar."""

    output: Literal["numpy", "pandas"] | Path
    part_bases: int | None
    progress: bool

    @classmethod
    def of(cls, output: str | Path, overwrite: bool, part_bases: int | None, progress: bool) -> "Delivery":
        """To what `output` names, a path unless `numpy` or `pandas`; raises InputError where it cannot be written."""
        match output:
            case "numpy" | "pandas":
                return cls(output, part_bases, progress)
        check_output(Path(output), overwrite=overwrite)
        return cls(Path(output), part_bases, progress)

    def run(self, job: Job[Any]) -> Results:
        """Do the job; returns what `output` asks for, a path where it is one."""
        with unsearched_heap(), Progress(job.title, job.bases, "b", shown=self.progress) as progress:
            if isinstance(self.output, Path):
                self._write(job, self.output, progress.advance)
                return self.output
            parts = job.parts(self.part_bases or job.part_bases)
            tables = [make_table() for make_table in job.compute((part.items for part in parts), progress.advance)]
        table = pa.concat_tables(tables) if tables else job.schema.empty_table()
        return frame_of(table) if self.output == "pandas" else arrays_of(table[job.main])

    def _write(self, job: Job[Any], output: Path, advance: Advance) -> None:
        part_bases = self.part_bases or kept_settings(output).get("part_bases", job.part_bases)
        parts = Parts(output, job.settings | {"part_bases": part_bases})
        found = parts.open()
        if found:
            print(f"{parts.directory} holds {found:,} parts of this job; it goes on behind them", file=sys.stderr)
        with ThreadPoolExecutor(1, "parts") as thread:  # a part is written while the next is computed
            missing = _missing(parts, job.parts(part_bases), advance, thread)
            tables = paired(missing, lambda missing: job.compute((part.items for part in missing), advance))
            kept = started(tables, lambda made: thread.submit(_keep, parts, *made).result, more=1)
            last = [table for _, table in kept if table is not None]
        parts.join(job.schema, last)


class _Missing(NamedTuple):
    """A part to be computed; the last has no digest, since it is not kept beside the output."""

    number: int
    items: Sequence[Item]
    digest: Future[str] | None


def _missing(
    parts: Parts, items: Iterable[Part[Any]], advance: Advance, thread: ThreadPoolExecutor
) -> Iterator[_Missing]:
    """The parts that are not there yet; `thread` makes their digests while they are computed."""
    for number, part, last in items:
        if parts.has(number, part):
            advance(sum(map(len, part)))
        else:
            yield _Missing(number, part, None if last else thread.submit(digest_of, part))


def _keep(parts: Parts, part: _Missing, make_table: MakeTable) -> pa.Table | None:
    """Keep a part; the last is returned instead, to be written to the output itself."""
    table = make_table()
    if part.digest is None:
        return table
    parts.add(part.number, part.digest.result(), table)
    release_freed_memory()
    return None
