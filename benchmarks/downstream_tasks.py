"""The tasks of benchmarks/downstream.py, made of the files of a data directory such as ../shared/data."""

import os
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np
import pandas as pd

from benchmarks.likeness import alike, split_groups
from hyena_ds.downstream.example import Example
from hyena_ds.downstream.read import read_examples
from hyena_ds.downstream.split import SPLITS, split_examples
from hyena_ds.downstream.task import Metric, SplitConfig, TaskConfig, TaskDataConfig
from hyena_ds.downstream.tasks.species import POSITION_ENDS, SpeciesConfig
from hyena_ds.downstream.tasks.splice_sites import SpliceConfig
from hyena_ds.genome.alphabet import decode
from hyena_ds.genome.interval import Interval
from hyena_ds.genome.splits import merged
from hyena_ds.hub.task_head import TaskKind

CHR20 = "genomes/human_GRCh37_chr20.fa.gz"
CHR20_BASES = 63_025_520
# What tests of chr20, in every task drawn from it; and what validates splice sites, which are rare before the end.
TEST_START, VALID_START = round(POSITION_ENDS["test"][0] * CHR20_BASES), round(0.7 * CHR20_BASES)
SPECIES = {
    "human": [CHR20],
    "worm": ["genomes/celegans_ce2_chrX.fa.gz"],
    "malaria": ["genomes/plasmodium_falciparum.fa.gz"],
    "ecoli": ["genomes/ecoli_K12_MG1655.fa.gz"],
    "yeast": ["genomes/yeast_chr1.fa.gz", "genomes/yeast_chr2.fa.gz"],
}
# Tasks whose test sequences have no coordinates of this assembly; the others test on the end of the chromosome.
WITHOUT_PLACES = ("regulatory", "ocr", "nontata", "nontata_apart")
SPECIES_BASES = 1024
SPECIES_WINDOWS = (160_000, 5_000, 10_000)
SPLICE_BASES = 600
TABLE_COLUMNS = ("split", "label", "id", "chromosome", "start", "end", "strand", "sequence")


@dataclass(frozen=True)
class BenchmarkTask:
    """A task, how it is scored, and how many epochs of its whole training set a network trains at most.

    `either_strand` says that both strands of a sequence have one label. A fine-tuned head reads the means of so many
    `parts` of a sequence, since the CNN sees places, too. Both networks choose of `rates` of learning and of `dropouts`
    before their heads; both are scored by the average of their weights with the decay `average_weights`, or by the
    weights themselves, and both train on sequences of which a stretch of up to `cutout` of their bases is hidden.
    `resid_dropout` is that of fine-tuned models, where it is another than their shape's; they learn so many times the
    `language_loss` beside the labels'.
    """

    name: str
    kind: TaskKind
    metric: Metric
    epochs: int
    either_strand: bool
    parts: int = 16
    rates: tuple[float, ...] = (1e-4, 3e-4, 1e-3)
    dropouts: tuple[float, ...] = (0.2,)
    average_weights: float | None = None
    resid_dropout: float | None = None
    language_loss: float = 0.0
    cutout: float = 0.0


TASKS = {
    task.name: task
    for task in (
        BenchmarkTask("regulatory", "multiclass", "accuracy", epochs=15, either_strand=True),
        BenchmarkTask("ocr", "binary", "accuracy", epochs=15, either_strand=True),
        BenchmarkTask("nontata", "binary", "accuracy", epochs=60, either_strand=False),
        BenchmarkTask("nontata_apart", "binary", "accuracy", epochs=20, either_strand=False),
        BenchmarkTask(
            "species",
            "multiclass",
            "accuracy",
            epochs=2,
            either_strand=True,
            rates=(3e-4, 1e-3, 2e-3),
            average_weights=0.995,
            resid_dropout=0.2,
            language_loss=8.0,
            cutout=0.9,
        ),
        *(
            BenchmarkTask(
                name,
                "binary",
                "mcc",
                epochs=20,
                either_strand=False,
                parts=100,
                rates=(3e-4, 1e-3),
                dropouts=(0.2, 0.5),
            )
            for name in ("donors", "acceptors")
        ),
    )
}


def sources(name: str, data: Path, place: Path, seed: int) -> tuple[TaskDataConfig, SplitConfig]:
    """Where the examples of a task are, and its split: the files' own, or by place in the genome.

    The nontata file has none: its windows overlap, and `nontata_apart` keeps those that do in one split.
    """
    tables = data / "genomic_benchmarks"
    match name:
        case "regulatory" | "ocr":
            file = {"regulatory": "human_ensembl_regulatory.tsv.gz", "ocr": "human_ocr_ensembl.tsv.gz"}[name]
            return TaskDataConfig(train=str(tables / file), columns=TABLE_COLUMNS), SplitConfig(valid=0.2, seed=seed)
        case "nontata" | "nontata_apart":
            table = TaskDataConfig(train=str(tables / "human_nontata_promoters_official_test.csv"), sequence="seq")
            return table, SplitConfig()
        case "species":
            species = SpeciesConfig(
                names=tuple(SPECIES),
                length=SPECIES_BASES,
                windows=SPECIES_WINDOWS,
                by_position=tuple(SPECIES),
                chromosome_weights="bases",
            )
            folders = link_species(data, place / "species")
            return TaskDataConfig(train=str(folders), format="species", species=species), SplitConfig()
    site = SpliceConfig(site="donor" if name == "donors" else "acceptor")
    exons = TaskDataConfig(
        train=str(data / "annotation/hg19_RefSeq_exon.txt.gz"),
        format="splice_sites",
        fasta=str(data / CHR20),
        window=SPLICE_BASES,
        splice_sites=site,
    )
    valid, test = f"20:{VALID_START}-{TEST_START}", f"20:{TEST_START}-{CHR20_BASES}"
    return exons, SplitConfig(valid_regions=(valid,), test_regions=(test,))


def link_species(data: Path, place: Path) -> Path:
    """Folders of links to the genomes, one a species."""
    for name, files in SPECIES.items():
        (place / name).mkdir(parents=True, exist_ok=True)
        for file in files:
            link = place / name / Path(file).name
            aside_of(link).symlink_to((data / file).resolve())
            aside_of(link).replace(link)
    return place


def aside_of(path: Path) -> Path:
    """Where this process makes what becomes `path`: several commands may make the same at once."""
    return path.with_name(f"{path.name}.{os.getpid()}")


def write_tables(task: BenchmarkTask, data: Path, place: Path, seeds: Sequence[int], limit: int | None) -> None:
    """The table of each seed."""
    for seed in seeds:
        write_table(task, data, place, seed, limit)


def write_table(task: BenchmarkTask, data: Path, place: Path, seed: int, limit: int | None = None) -> Path:
    """The examples of a task as a Parquet table of sequence, label and split, shuffled; `limit` bounds each split.

    The test set is the same for every seed. Sequences without a known base are left out; those that stand in two
    splits, or reach into the place of a test, out of the earlier one.
    """
    path = place / "tables" / f"{task.name}-{seed}{'' if limit is None else f'-{limit}'}.parquet"
    if path.exists():
        return path
    config, split_config = sources(task.name, data, place, seed)
    examples = read_examples(
        TaskConfig(name=task.name, kind=task.kind), config, place / ".fasta_cache", lambda line: None
    )
    if task.name.startswith("nontata"):
        apart = task.name == "nontata_apart"
        groups = alike([example.tokens[:] for example in examples]) if apart else np.arange(len(examples))
        examples = split_groups(examples, groups, seed)
    examples = _outside_tests(examples)
    split = split_examples(examples, split_config, stratify=True)
    generator, rows, seen = np.random.default_rng(seed), list[tuple[str, str, str]](), set[str]()
    for name in reversed(SPLITS):
        chosen = [examples[number] for number in generator.permutation(getattr(split, name))]
        own = [(*row, name) for row in islice(_unseen(chosen, seen), limit)]
        seen.update(sequence for sequence, _, _ in own)
        rows += own
    _write(pd.DataFrame(rows, columns=["sequence", "label", "split"]), path)
    return path


def _unseen(examples: Sequence[Example], seen: set[str]) -> Iterator[tuple[str, str]]:
    """Bases and label of each example that has known bases and is not among those seen."""
    for example in examples:
        bases = decode(example.tokens[:])
        if bases not in seen and bases.strip("N"):
            yield bases, example.label[0]


def _outside_tests(examples: Sequence[Example]) -> list[Example]:
    """Those that test, and those whose place, where it is known, overlaps none of theirs."""
    tests = merged(one.interval for one in examples if one.split == "test" and one.interval is not None)
    starts = [(place.sequence, place.start) for place in tests]

    def tested(place: Interval) -> bool:
        before = bisect_left(starts, (place.sequence, place.end)) - 1
        return before >= 0 and tests[before].overlap(place) > 0

    return [one for one in examples if one.split == "test" or one.interval is None or not tested(one.interval)]


def _write(frame: pd.DataFrame, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    frame.to_parquet(aside_of(path), index=False)
    aside_of(path).replace(path)


def shortened(table: Path, train: int) -> Path:
    """The same table with the first `train` examples of its shuffled training set."""
    path = table.with_name(f"{table.stem}-train{train}.parquet")
    if not path.exists():
        frame = pd.read_parquet(table)
        kept = (frame["split"] != "train") | ((frame["split"] == "train").cumsum() <= train)
        _write(frame[kept], path)
    return path
