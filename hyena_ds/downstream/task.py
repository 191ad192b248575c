"""A task as data: what is asked, where the labelled sequences are, and how they are split."""

import re
from typing import Literal

from pydantic import Field, field_validator, model_validator

from hyena_ds.config.section import Section
from hyena_ds.downstream.tasks.species import SpeciesConfig
from hyena_ds.downstream.tasks.splice_sites import SpliceConfig
from hyena_ds.hub.task_head import TaskKind

Metric = Literal[
    "accuracy", "precision", "recall", "f1", "f1_macro", "mcc", "auroc", "auprc", "mse", "r2", "pearson", "spearman",
]  # fmt: skip
DEFAULT_METRICS: dict[TaskKind, Metric] = {
    "binary": "mcc",
    "multiclass": "mcc",
    "position": "mcc",
    "multilabel": "auroc",
    "regression": "pearson",
}
Method = Literal["full", "frozen", "probe"]
REGRESSION_METRICS = ("mse", "r2", "pearson", "spearman")
LOWER_IS_BETTER = ("mse",)


class TaskConfig(Section):
    """What is asked of a sequence.

    `kind` is one of two classes (`binary`), one of several (`multiclass`), any of several (`multilabel`), values
    (`regression`), or one class a `position`. `classes` name the outputs in their order; by default those found in the
    training labels, sorted. `metric` chooses the best model. Sequences above `length` bases are refused, or cut to
    their `centre` or `first` bases where `longer` says so. `source` says where the data come from. `published` is a
    task whose published number of examples the files must hold, such as genomic_benchmarks/human_ocr_ensembl. `groups`
    divide the labels of a `multilabel` task, in their order, into groups of so many, whose median AUROC is told.
    """

    name: str = Field(min_length=1)
    kind: TaskKind
    classes: tuple[str, ...] | None = Field(default=None, min_length=1)
    metric: Metric | None = None
    length: int | None = Field(default=None, gt=0)
    longer: Literal["refuse", "centre", "first"] = "refuse"
    source: str = ""
    published: str | None = None
    groups: dict[str, int] | None = None

    @model_validator(mode="after")
    def _metric_fits(self) -> "TaskConfig":
        if self.metric is not None and (self.metric in REGRESSION_METRICS) != (self.kind == "regression"):
            raise ValueError(f"metric={self.metric} does not measure kind={self.kind}; leave it out for the default")
        if self.kind == "binary" and self.classes is not None and len(self.classes) != 2:
            raise ValueError(f"kind=binary has two classes, not {', '.join(self.classes)}; set kind to multiclass")
        if self.groups is not None and self.kind != "multilabel":
            raise ValueError(f"groups divide the labels of kind=multilabel and kind={self.kind}; leave them out")
        if self.classes is not None and len(set(self.classes)) < len(self.classes):
            raise ValueError(f"classes={list(self.classes)} names one twice")
        return self

    @property
    def main_metric(self) -> Metric:
        return self.metric or DEFAULT_METRICS[self.kind]


class TaskDataConfig(Section):
    """Where the labelled sequences are: a file or directory for each split, or one that holds several.

    `format` is a `table` (CSV, TSV, Parquet, a Hugging Face dataset directory), a `fasta` file with the label in each
    header (or a directory of a train and a test file), `folders` of one class each, or a `bed` file with the label in
    column 4 and the bases in `fasta`. Of published tasks there are GenomicBenchmarks' `intervals` (`fasta` may name a
    file for each class), the chromatin profile's `coordinates`, and those drawn from genomes: `species` and
    `splice_sites`, whose sections tell what is drawn.
    `sequence`, `label`, `split`, `chromosome`, `start` and `end` name a table's columns; `label` may be a list of them,
    or a pattern such as y_*. `columns` names them where the file has no header line. `header_label` is a regular
    expression whose group is the label. `window` resizes each BED interval about its centre. `reverse_complement`
    trains on a strand drawn anew every epoch.
    """

    train: str
    valid: str | None = None
    test: str | None = None
    format: Literal[
        "auto", "table", "fasta", "folders", "bed", "intervals", "coordinates", "species", "splice_sites"
    ] = "auto"
    columns: tuple[str, ...] | None = None
    sequence: str = "sequence"
    label: str | tuple[str, ...] = "label"
    split: str = "split"
    chromosome: str = "chromosome"
    start: str = "start"
    end: str = "end"
    header_label: str = r"([^\s|]+)\s*$"
    fasta: str | dict[str, str] | None = None
    window: int | None = Field(default=None, gt=0)
    species: SpeciesConfig | None = None
    splice_sites: SpliceConfig | None = None
    reverse_complement: bool = False

    @field_validator("header_label")
    @classmethod
    def _has_one_group(cls, pattern: str) -> str:
        try:
            groups = re.compile(pattern).groups
        except re.error as error:
            raise ValueError(f"it is no regular expression ({error})") from None
        if groups != 1:
            raise ValueError(f"it has {groups} groups; put the label, and nothing else, into ( )")
        return pattern

    @model_validator(mode="after")
    def _sections_fit(self) -> "TaskDataConfig":
        for name in ("species", "splice_sites"):
            if (getattr(self, name) is not None) != (self.format == name):
                raise ValueError(f"format={self.format} and the section {name}: each needs the other")
        if self.format in ("coordinates", "splice_sites") and not isinstance(self.fasta, str):
            raise ValueError(f"format={self.format} names no bases; name the genome in fasta")
        if self.format == "splice_sites" and self.window is None:
            raise ValueError("format=splice_sites needs the bases of a window, such as window: 600")
        return self


class SplitConfig(Section):
    """How examples without a split of their own get one.

    Those that overlap one of `test_regions` or `valid_regions` (such as chr20 or chr8:1000000-2000000) test or
    validate. Where no test set is given, the share `test` of the others is drawn; where no validation set is, the share
    `valid` of what is left to train. `folds` repeats the run, each example being held out once: for validation where
    there is a test set, for the test where there is none. Sequences that stand in two splits are reported; `drop`
    leaves them out of the earlier of train, valid, test.
    """

    valid: float = Field(default=0.1, ge=0, lt=1)
    test: float = Field(default=0.0, ge=0, lt=1)
    valid_regions: tuple[str, ...] = ()
    test_regions: tuple[str, ...] = ()
    folds: int | None = Field(default=None, ge=2)
    seed: int = Field(default=42, ge=0)
    duplicates: Literal["report", "drop"] = "report"
