"""The Nucleotide Transformer's tasks (Dalla-Torre et al. 2023): 18 as first published, 18 revised in 2024."""

from hyena_ds.downstream.task import Metric
from hyena_ds.downstream.tasks.entry import PublishedTask
from hyena_ds.genome.fetch import Source

ORIGINAL, REVISED = "nucleotide_transformer", "nucleotide_transformer_revised"
HUB = "https://huggingface.co/datasets/InstaDeepAI"
REPOSITORIES = {
    ORIGINAL: "nucleotide_transformer_downstream_tasks",
    REVISED: "nucleotide_transformer_downstream_tasks_revised",
}
HEADER_LABEL = "(.)$"  # the last character
THREE_CLASSES = ("enhancers_types", "splice_sites_all")

# The metric and the examples to train. Two are not counted: that the files hold the 47,759 and 5,517
# of the HyenaDNA repository is not confirmed.
Row = tuple[Metric, int | None]
ORIGINAL_TASKS: dict[str, Row] = {
    "enhancers": ("mcc", 14_968),
    "enhancers_types": ("mcc", 14_968),
    "H3": ("mcc", 13_468),
    "H3K4me1": ("mcc", 28_509),
    "H3K4me2": ("mcc", 27_614),
    "H3K4me3": ("mcc", 33_119),
    "H3K9ac": ("mcc", 25_003),
    "H3K14ac": ("mcc", 29_743),
    "H3K36me3": ("mcc", 31_392),
    "H3K79me3": ("mcc", 25_953),
    "H4": ("mcc", 13_140),
    "H4ac": ("mcc", 30_685),
    "promoter_all": ("f1_macro", 53_276),
    "promoter_no_tata": ("f1_macro", None),
    "promoter_tata": ("f1_macro", None),
    "splice_sites_acceptors": ("f1_macro", 19_961),
    "splice_sites_donors": ("f1_macro", 19_775),
    "splice_sites_all": ("accuracy", 27_000),
}
# HyenaDNA, 2 layers, 256 wide, fine-tuned, in percent (Nguyen et al. 2023, table 4.2).
PAPER = {
    f"{ORIGINAL}/{task}": score
    for task, score in zip(
        ORIGINAL_TASKS,
        (62.6, 55.7, 81.7, 57.1, 53.9, 61.2, 65.1, 66.3, 65.3, 71.6, 79.6, 63.7, 96.5, 96.6, 96.7, 96.6, 97.3, 97.9),
        strict=True,
    )
}
HISTONE_MARKS = ("H2AFZ", "H3K27ac", "H3K27me3", "H3K36me3", "H3K4me1", "H3K4me2", "H3K4me3", "H3K9ac", "H3K9me3",
                 "H4K20me1")  # fmt: skip
REVISED_TASKS = ("enhancers", "enhancers_types", *HISTONE_MARKS, "promoter_all", "promoter_no_tata", "promoter_tata",
                 "splice_sites_acceptors", "splice_sites_donors", "splice_sites_all")  # fmt: skip


def _entry(family: str, task: str, metric: Metric, train: int | None) -> PublishedTask:
    url = f"{HUB}/{REPOSITORIES[family]}/resolve/main/{task}"
    return PublishedTask(
        name=f"{family}/{task}",
        kind="multiclass" if task in THREE_CLASSES else "binary",
        metric=metric,
        config="nucleotide_transformer.yaml",
        counts={} if train is None else {"train": train},
        sources=tuple(Source(f"{url}/{name}.fna", f"{family}/{task}/{name}.fna") for name in ("train", "test")),
        header_label=HEADER_LABEL,
    )


ENTRIES = (
    *(_entry(ORIGINAL, task, *row) for task, row in ORIGINAL_TASKS.items()),
    *(_entry(REVISED, task, "mcc", None) for task in REVISED_TASKS),
)
