"""A published task as a record: what it asks, what its files hold, and where they are."""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hyena_ds.downstream.example import Example
from hyena_ds.downstream.task import Metric
from hyena_ds.errors import InputError
from hyena_ds.genome.fetch import Source
from hyena_ds.hub.task_head import TaskKind


def count_examples(examples: Iterable[Example]) -> Counter[tuple[str, str]]:
    """How many there are of each split and class; those without a split train."""
    return Counter((example.split or "train", example.label[0]) for example in examples)


@dataclass(frozen=True)
class PublishedTask:
    """A task under the name `family/task`, scored by `metric` where it was published.

    `config` is the file of its settings in configs/finetune. `counts` are the published examples of each split, by
    class where those are published. `sources` are its files; `genomes` those that hold the bases of each class where
    `sources` hold intervals. `header_label` finds the label in FASTA headers.
    """

    name: str
    kind: TaskKind
    metric: Metric
    config: str
    counts: Mapping[str, int | Mapping[str, int]] = field(default_factory=dict)
    sources: tuple[Source, ...] = ()
    genomes: Mapping[str, Source] = field(default_factory=dict)
    header_label: str | None = None

    def sections(self, data: Path) -> dict[str, dict[str, Any]]:
        """The sections `task` and `data` of a config, with the files where `fetch_task` leaves them below `data`."""
        form: dict[str, Any] = {}
        if self.genomes:
            form["fasta"] = {name: str(data / source.path) for name, source in self.genomes.items()}
        if self.header_label is not None:
            form |= {"format": "fasta", "header_label": self.header_label}
        task = {"name": self.name.split("/")[1], "kind": self.kind, "metric": self.metric, "source": self.name}
        return {"task": task, "data": {"train": str(data / self.name), **form}}

    def check(self, found: Mapping[tuple[str, str], int]) -> None:
        """Raise InputError where a split and class has another number of examples than was published."""
        for split, published in self.counts.items():
            here = {label: count for (name, label), count in found.items() if name == split}
            if isinstance(published, int):
                self._compare(split, sum(here.values()), published)
                continue
            for label in sorted({*published, *here}):
                self._compare(f"{split} {label}", here.get(label, 0), published.get(label, 0))

    def _compare(self, what: str, found: int, published: int) -> None:
        if found != published:
            raise InputError(
                f"{self.name}: {found:,} examples of {what} where {published:,} were published; fetch it again, "
                "or leave task.published out for a part of it"
            )
