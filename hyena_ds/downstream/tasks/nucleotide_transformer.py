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

# The metric, examples to train and to test. Two are not counted: the files of promoter_tata that are about
# differ by 8 examples, those of promoter_no_tata by as many.
Row = tuple[Metric, int | None, int | None]
ORIGINAL_TASKS: dict[str, Row] = {
    "enhancers": ("mcc", 14_968, 400),
    "enhancers_types": ("mcc", 14_968, 400),
    "H3": ("mcc", 13_468, 1497),
    "H3K4me1": ("mcc", 28_509, 3168),
    "H3K4me2": ("mcc", 27_614, 3069),
    "H3K4me3": ("mcc", 33_119, 3680),
    "H3K9ac": ("mcc", 25_003, 2779),
    "H3K14ac": ("mcc", 29_743, 3305),
    "H3K36me3": ("mcc", 31_392, 3488),
    "H3K79me3": ("mcc", 25_953, 2884),
    "H4": ("mcc", 13_140, 1461),
    "H4ac": ("mcc", 30_685, 3410),
    "promoter_all": ("f1_macro", 53_276, 5920),
    "promoter_no_tata": ("f1_macro", None, None),
    "promoter_tata": ("f1_macro", None, None),
    "splice_sites_acceptors": ("f1_macro", 19_961, 2218),
    "splice_sites_donors": ("f1_macro", 19_775, 2198),
    "splice_sites_all": ("accuracy", 27_000, 3000),
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
# Counted where the published sizes of the files confirm the count.
REVISED_TASKS: dict[str, Row] = {
    "enhancers": ("mcc", None, None),
    "enhancers_types": ("mcc", None, None),
    **dict.fromkeys(HISTONE_MARKS, ("mcc", None, None)),
    "promoter_all": ("mcc", 30_000, 1584),
    "promoter_no_tata": ("mcc", 30_000, 1372),
    "promoter_tata": ("mcc", 5062, 212),
    "splice_sites_acceptors": ("mcc", None, None),
    "splice_sites_donors": ("mcc", None, None),
    "splice_sites_all": ("mcc", None, None),
}


def _entry(family: str, task: str, row: Row) -> PublishedTask:
    metric, train, test = row
    url = f"{HUB}/{REPOSITORIES[family]}/resolve/main/{task}"
    return PublishedTask(
        name=f"{family}/{task}",
        kind="multiclass" if task in THREE_CLASSES else "binary",
        metric=metric,
        counts={split: count for split, count in (("train", train), ("test", test)) if count is not None},
        sources=tuple(Source(f"{url}/{name}.fna", f"{family}/{task}/{name}.fna") for name in ("train", "test")),
    )


ENTRIES = (
    *(_entry(ORIGINAL, task, row) for task, row in ORIGINAL_TASKS.items()),
    *(_entry(REVISED, task, row) for task, row in REVISED_TASKS.items()),
)
