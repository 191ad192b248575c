"""All published tasks, by name, and their files from the web."""

from pathlib import Path
from typing import Any

from hyena_ds.downstream.labelled_fasta import read_labelled_fasta
from hyena_ds.downstream.task import TaskDataConfig
from hyena_ds.downstream.tasks import genomic_benchmarks, nucleotide_transformer
from hyena_ds.downstream.tasks.entry import PublishedTask, count_examples
from hyena_ds.errors import InputError
from hyena_ds.genome.fasta import Say
from hyena_ds.genome.fetch import fetch
from hyena_ds.genome.names import near_names

PUBLISHED = {entry.name: entry for entry in (*genomic_benchmarks.ENTRIES, *nucleotide_transformer.ENTRIES)}


def find_published(name: str) -> PublishedTask:
    """The task of that name, such as `genomic_benchmarks/human_ocr_ensembl`; raises InputError with near names."""
    if name not in PUBLISHED:
        raise InputError(f"no published task {name!r}; near names are {near_names(name, PUBLISHED)}")
    return PUBLISHED[name]


def complete_published(values: dict[str, Any]) -> dict[str, Any]:
    """A config's `values` with what they leave out of the task, the data and the run directory of `task.published`."""
    task = values.get("task")
    published = task.get("published") if isinstance(task, dict) else None
    if not isinstance(published, str):
        return values
    sections = find_published(published).sections(Path("data"))
    filled = {name: {**section, **values.get(name, {})} for name, section in sections.items()}
    return {"run_directory": f"runs/{published}", **values, **filled}


def fetch_task(task: PublishedTask, data: Path, say: Say = print) -> Path:
    """Fetch the files of a task below the directory `data`, count their examples, then fetch what genomes they need.

    Returns the task's directory. Raises what `fetch` and `PublishedTask.check` raise.
    """
    for source in task.sources:
        fetch(source, data, say)
    directory = data / task.name
    if task.genomes:
        task.check(genomic_benchmarks.count_tables(directory))
    else:
        form = TaskDataConfig.model_validate(task.sections(data)["data"])
        task.check(count_examples(read_labelled_fasta(directory, form)))
    for genome in dict.fromkeys(task.genomes.values()):
        fetch(genome, data, say)
    return directory
