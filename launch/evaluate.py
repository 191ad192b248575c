"""Perplexity of a model on genomes, by context and class: `python launch/evaluate.py --model hf/1m --fasta hg38.fa`."""

import argparse
import json
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from hyena_ds.config.storage import check_writable
from hyena_ds.errors import InputError, run_command
from hyena_ds.genome.fasta import bare_name
from hyena_ds.inference.evaluation import Evaluation
from hyena_ds.inference.evaluation_plot import plot_evaluation
from hyena_ds.inference.evaluation_windows import PUBLISHED
from launch.command_parser import command_parser
from launch.model_arguments import EXIT_CODES, add_model_arguments, open_model, say

EXAMPLES = f"""\
examples:
  python launch/evaluate.py --model hf/1k --fasta human=hg38.fa.gz --published --output reports/1k
  python launch/evaluate.py --model runs/demo --fasta yeast=tests/data/yeast_chr2.fa.gz --windows 200
  python launch/evaluate.py --model hf/1k --fasta human=hg38.fa --fasta mouse=mm39.fa --length 1024 --windows 5000
  python launch/evaluate.py --model hf/1k --fasta hg38.fa --bed human-sequences.bed         its test split

Windows of --length bases (default: l_max - 2, what the model was trained for) lie side by side over the regions: whole
sequences, those of --bed, or with --published the fixed test windows of the published perplexities (GRCh38,
chr14:19,726,402-106,677,047 and chrX:2,825,622-144,342,320; N stays N here, where the published code reads it as
[PAD]). Targets are A, C, G and T with a base before them in their window.

The table goes to stdout: perplexity and bits a base in all, by species, for soft-masked (lower-case) bases and others,
by GC class of the window, by bases of context, and over the last bases of whole windows. With --output NAME also
NAME.json (the table, and perplexity at each number of bases of context), NAME.tsv and NAME.png.

In Python: HyenaDNA.from_pretrained("hf/1k").evaluate("hg38.fa.gz", regions="published").table()

{EXIT_CODES}"""


def parse_arguments() -> argparse.Namespace:
    parser = command_parser(__doc__, EXAMPLES)
    add_model_arguments(parser)
    parser.add_argument(
        "--fasta", action="append", required=True, metavar="[SPECIES=]FILE", help="plain or gzip; may be repeated"
    )
    where = parser.add_mutually_exclusive_group()
    where.add_argument("--published", action="store_true", help="the fixed test regions of the human genome")
    where.add_argument("--bed", type=Path, help="regions; of its test split, if it names splits")
    parser.add_argument("--length", type=int, metavar="N", help="bases of a window (default l_max - 2)")
    parser.add_argument("--windows", type=int, metavar="N", help="of each species at most N (default all)")
    parser.add_argument("--cache", type=Path, help="keep indexes, and plain copies of compressed files, here")
    parser.add_argument("--output", type=Path, metavar="NAME", help="write NAME.json, NAME.tsv and NAME.png")
    parser.add_argument("--overwrite", action="store_true", help="replace what stands at --output")
    return parser.parse_args()


def genomes_of(words: list[str]) -> dict[str, Path]:
    genomes = {}
    for word in words:
        species, equals, file = word.partition("=")
        path = Path(file if equals else word)
        name = species if equals else bare_name(path)
        if name in genomes:
            raise InputError(f"--fasta {word}: species {name!r} stands twice; name each file: --fasta SPECIES=FILE")
        genomes[name] = path
    return genomes


def outputs_of(arguments: argparse.Namespace) -> dict[str, Path]:
    """The files to write by suffix; raises InputError where one exists."""
    if arguments.output is None:
        return {}
    paths = {suffix: arguments.output.with_name(arguments.output.name + suffix) for suffix in (".json", ".tsv", ".png")}
    for path in paths.values():
        if path.exists() and not arguments.overwrite:
            raise InputError(f"{path} exists; choose another --output or give --overwrite")
    check_writable(arguments.output.parent, f"--output {arguments.output}")
    return paths


def write(evaluation: Evaluation, title: str, paths: dict[str, Path]) -> None:
    paths[".json"].parent.mkdir(parents=True, exist_ok=True)
    document = {"model": title, **evaluation.document()}
    paths[".json"].write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
    evaluation.table().to_csv(paths[".tsv"], sep="\t", index=False)
    plot_evaluation(evaluation, title, paths[".png"])
    say(f"wrote {', '.join(map(str, paths.values()))}")


def main() -> None:
    arguments = parse_arguments()
    genomes, paths = genomes_of(arguments.fasta), outputs_of(arguments)
    if arguments.windows is not None and arguments.windows < 1:
        raise InputError(f"--windows {arguments.windows} must be at least 1")
    evaluation = open_model(arguments).evaluate(
        genomes,
        regions=PUBLISHED if arguments.published else arguments.bed,
        length=arguments.length,
        windows=arguments.windows,
        cache=arguments.cache,
        progress=True,
    )
    say(f"{evaluation.windows:,} windows of {evaluation.length:,} bases")
    print(evaluation.table().to_string(index=False, float_format="{:.4f}".format, formatters={"bases": "{:,}".format}))
    if paths:
        write(evaluation, arguments.model, paths)


if __name__ == "__main__":
    run_command(main)
