"""Sequences as vectors: `python launch/embed.py --model hf/1m --input genes.fa --output e.h5`."""

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from hyena_ds.errors import run_command
from launch.command_parser import command_parser
from launch.model_arguments import (
    EXIT_CODES,
    OUTPUT_HELP,
    SEQUENCE_HELP,
    add_model_arguments,
    add_output_arguments,
    add_sequence_arguments,
    add_window_arguments,
    open_model,
    say,
    sequences_of,
    window_options,
)

EXAMPLES = f"""\
examples:
  python launch/embed.py --model hf/demo --input genes.fa.gz --output genes.parquet
  python launch/embed.py --model hf/demo --input table.csv --column seq --pooling max --output genes.h5
  python launch/embed.py --model hf/demo --input chromosomes.fa --window 1000 --overlap 200 --output chromosomes.jsonl
  python launch/embed.py --model runs/demo --sequence ACGTTGCA --pooling none --output one.h5     a vector for each base

{SEQUENCE_HELP}
The output has a row a sequence: name, bases, unknown_bases (N and ambiguity codes), unknown_characters (read as [UNK]
with --unknown mark), soft_masked_bases (lower case), embedding. With --pooling none also marks, one a base: 1 for N,
2 for [UNK], plus 4 for lower case. In HDF5 each column is a dataset, and <column>_ends says where each row's list ends.
{OUTPUT_HELP}
In Python: HyenaDNA.from_pretrained("hf/demo").embed("genes.fa.gz", pooling="mean")

{EXIT_CODES}"""


def parse_arguments() -> argparse.Namespace:
    parser = command_parser(__doc__, EXAMPLES)
    add_model_arguments(parser)
    add_sequence_arguments(parser)
    parser.add_argument(
        "--pooling",
        choices=("mean", "sum", "max", "first", "last", "none"),
        default="mean",
        help="over the bases of a sequence, special tokens left out; none: one vector a base (default mean)",
    )
    add_window_arguments(parser)
    add_output_arguments(parser, required=True)
    return parser.parse_args()


def main() -> None:
    arguments = parse_arguments()
    sequences = sequences_of(arguments)
    model = open_model(arguments)
    model.embed(
        sequences,
        pooling=arguments.pooling,
        output=arguments.output,
        overwrite=arguments.overwrite,
        progress=True,
        **window_options(arguments),
    )
    say(f"wrote {arguments.output}")


if __name__ == "__main__":
    run_command(main)
