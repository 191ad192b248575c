"""The tasks of benchmarks/downstream.py, made of the files of a data directory such as ../shared/data."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from hyena_ds.downstream.example import Example
from hyena_ds.downstream.read import read_examples
from hyena_ds.downstream.split import SPLITS, split_examples
from hyena_ds.downstream.task import Metric, SplitConfig, TaskConfig, TaskDataConfig
from hyena_ds.downstream.tasks.species import POSITION_ENDS, SpeciesConfig
from hyena_ds.downstream.tasks.splice_sites import SpliceConfig
from hyena_ds.genome.alphabet import decode
from hyena_ds.hub.task_head import TaskKind

CHR20 = "genomes/human_GRCh37_chr20.fa.gz"
CHR20_BASES = 63_025_520
# What validates and tests of chr20, in every task drawn from it.
TEST_START, VALID_START = (round(POSITION_ENDS[split][0] * CHR20_BASES) for split in ("test", "valid"))
SPECIES = {
    "human": [CHR20],
    "worm": ["genomes/celegans_ce2_chrX.fa.gz"],
    "malaria": ["genomes/plasmodium_falciparum.fa.gz"],
    "ecoli": ["genomes/ecoli_K12_MG1655.fa.gz"],
    "yeast": ["genomes/yeast_chr1.fa.gz", "genomes/yeast_chr2.fa.gz"],
}
SPECIES_BASES = 1024
SPECIES_WINDOWS = (10_000, 1_000, 2_000)
SPLICE_BASES = 600
TABLE_COLUMNS = ("split", "label", "id", "chromosome", "start", "end", "strand", "sequence")


@dataclass(frozen=True)
class BenchmarkTask:
    """A task and how it is scored; `either_strand` says that both strands of a sequence have one label."""

    name: str
    kind: TaskKind
    metric: Metric
    either_strand: bool


TASKS = {
    task.name: task
    for task in (
        BenchmarkTask("regulatory", "multiclass", "accuracy", either_strand=True),
        BenchmarkTask("ocr", "binary", "accuracy", either_strand=True),
        BenchmarkTask("nontata", "binary", "accuracy", either_strand=False),
        BenchmarkTask("species", "multiclass", "accuracy", either_strand=True),
        BenchmarkTask("donors", "binary", "mcc", either_strand=False),
        BenchmarkTask("acceptors", "binary", "mcc", either_strand=False),
    )
}


def sources(name: str, data: Path, place: Path, seed: int) -> tuple[TaskDataConfig, SplitConfig]:
    """Where the examples of a task are, and its split: the files' own, by place in the genome, or 60/20/20 by seed."""
    tables = data / "genomic_benchmarks"
    match name:
        case "regulatory" | "ocr":
            file = {"regulatory": "human_ensembl_regulatory.tsv.gz", "ocr": "human_ocr_ensembl.tsv.gz"}[name]
            return TaskDataConfig(train=str(tables / file), columns=TABLE_COLUMNS), SplitConfig(valid=0.2, seed=seed)
        case "nontata":
            table = TaskDataConfig(train=str(tables / "human_nontata_promoters_official_test.csv"), sequence="seq")
            return table, SplitConfig(test=0.2, valid=0.25, seed=seed)
        case "species":
            species = SpeciesConfig(
                names=tuple(SPECIES),
                length=SPECIES_BASES,
                windows=SPECIES_WINDOWS,
                seed=seed,
                by_position=tuple(SPECIES),
            )
            folders = link_species(data, place / "species")
            return TaskDataConfig(train=str(folders), format="species", species=species), SplitConfig()
    site = SpliceConfig(site="donor" if name == "donors" else "acceptor", seed=seed)
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
            link.unlink(missing_ok=True)
            link.symlink_to((data / file).resolve())
    return place


def write_table(task: BenchmarkTask, data: Path, place: Path, seed: int, limit: int | None = None) -> Path:
    """The examples of a task as a Parquet table of sequence, label and split, shuffled; `limit` bounds each split.

    Sequences that stand in two splits are left out of the earlier one.
    """
    path = place / "tables" / f"{task.name}-{seed}{'' if limit is None else f'-{limit}'}.parquet"
    if path.exists():
        return path
    config, split_config = sources(task.name, data, place, seed)
    examples = read_examples(
        TaskConfig(name=task.name, kind=task.kind), config, place / ".fasta_cache", lambda line: None
    )
    split = split_examples(examples, split_config.model_copy(update={"duplicates": "drop"}), stratify=True)
    generator, rows = np.random.default_rng(seed), list[tuple[str, str, str]]()
    for name in SPLITS:
        for number in generator.permutation(getattr(split, name))[:limit]:
            rows.append((*_text(examples[number]), name))
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = path.with_suffix(".partial")
    pd.DataFrame(rows, columns=["sequence", "label", "split"]).to_parquet(aside, index=False)
    aside.replace(path)
    return path


def _text(example: Example) -> tuple[str, str]:
    return decode(example.tokens[:]), example.label[0]


def shortened(table: Path, train: int) -> Path:
    """The same table with the first `train` examples of its shuffled training set."""
    path = table.with_name(f"{table.stem}-train{train}.parquet")
    if not path.exists():
        frame = pd.read_parquet(table)
        kept = (frame["split"] != "train") | ((frame["split"] == "train").cumsum() <= train)
        frame[kept].to_parquet(path, index=False)
    return path
