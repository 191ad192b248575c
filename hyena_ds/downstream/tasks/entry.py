"""A published task as a record: what it asks, what its files hold, and where they are."""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

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

    `counts` are the published examples of each split, by class where those are published; `sources` are its files.
    """

    name: str
    kind: TaskKind
    metric: Metric
    counts: Mapping[str, int | Mapping[str, int]] = field(default_factory=dict)
    sources: tuple[Source, ...] = ()

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
