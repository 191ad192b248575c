"""Fetch published tasks, hg38, or any genome: `python launch/fetch.py GCF_000146045.2 [--data data]`."""

import json
import shlex
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from hyena_ds.downstream.tasks.catalogue import PUBLISHED, fetch_task, find_published
from hyena_ds.errors import run_command
from hyena_ds.genome.assembly import ACCESSION, fetch_assembly
from hyena_ds.genome.fetch import Source, fetch
from launch.command_parser import command_parser

DATA = Path("data")  # where configs look
# The genome and the intervals that the published models were trained on.
BASENJI = "https://storage.googleapis.com/basenji_barnyard2"
HG38 = (
    Source(f"{BASENJI}/hg38.ml.fa.gz", "genomes/hg38.ml.fa.gz"),
    Source(f"{BASENJI}/sequences_human.bed", "genomes/human-sequences.bed"),
)
EXAMPLES = """\
examples:
  python launch/fetch.py --list                                          the names of all tasks
  python launch/fetch.py nucleotide_transformer/H3 nucleotide_transformer/H4
  python launch/fetch.py hg38                                            the published genome and its intervals
  python launch/fetch.py GCF_000146045.2                                 an assembly of NCBI by its accession
  python launch/fetch.py nucleotide_transformer/H3 --data /mnt/data      files already there are checked and taken

A download that broke off goes on where it stood. A file without a published checksum is kept with its own in
SHA256SUMS beside it. The examples of a task are counted where their number is published.
exit codes: 0 done, 2 your input, wrong bytes, or no connection, 75 broke off: the same command goes on.
"""


def main() -> None:
    parser = command_parser(__doc__, EXAMPLES)
    parser.add_argument("names", nargs="*", metavar="NAME", help="hg38, an assembly accession, or a task")
    parser.add_argument("--data", type=Path, default=DATA, help="where the files are, or go (default data)")
    parser.add_argument("--list", action="store_true", help="print the names of all tasks")
    arguments = parser.parse_args()
    if arguments.list:
        print("\n".join(["hg38", *PUBLISHED]))
    elif not arguments.names:
        parser.error("name what to fetch, or ask for --list")
    for name in arguments.names:
        print(f"done: python {_fetched(name, arguments.data)}")


def _fetched(name: str, data: Path) -> str:
    """Fetch what is called `name`; returns the words of the command that comes next."""
    if name == "hg38":
        genome, intervals = (fetch(source, data) for source in HG38)
        return f"-m preprocessing.shard --fasta human={genome} --bed {intervals} --output {data / name} --length 1024"
    if ACCESSION.fullmatch(name):
        return f"-m preprocessing.shard --fasta {fetch_assembly(name, data)} --output {data / name}"
    task = find_published(name)
    fetch_task(task, data)
    words = ["--config", f"configs/finetune/{task.config}", f"task.published={name}"]
    if data != DATA:
        section = task.sections(data)["data"]
        words += [f"data.{key}={json.dumps(section[key])}" for key in ("train", "fasta") if key in section]
    return f"launch/finetune.py {shlex.join(words)}"


if __name__ == "__main__":
    run_command(main)
