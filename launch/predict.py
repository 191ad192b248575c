"""What a fine-tuned model says of sequences: `python launch/predict.py --model runs/promoters --input new.fa`."""

import argparse
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from hyena_ds.errors import InputError, run_command
from launch.command_parser import command_parser
from launch.model_arguments import (
    EXIT_CODES,
    OUTPUT_HELP,
    SEQUENCE_HELP,
    add_model_arguments,
    add_output_arguments,
    add_sequence_arguments,
    add_unknown_argument,
    open_model,
    say,
    sequences_of,
)

EXAMPLES = f"""\
examples:
  python launch/predict.py --model runs/promoters --input new.fa.gz                          a table on stdout
  python launch/predict.py --model runs/promoters/export --input new.csv --column seq --output classes.parquet
  python launch/predict.py --model runs/promoters --sequence ACGTTGCAAC --both-strands

{SEQUENCE_HELP}
--model is a run of launch/finetune.py, its export, or a name on the hub. `prediction` is the likeliest class (for
several labels, those above 0.5), then comes the probability of each class, or each value of a regression. In a file
these are one column of vectors, `probabilities` or `values`, in the order of the classes; a task of one class a
position needs a file.
{OUTPUT_HELP}
In Python: HyenaDNA.from_pretrained("runs/promoters").predict("new.fa.gz")

{EXIT_CODES}"""


def parse_arguments() -> argparse.Namespace:
    parser = command_parser(__doc__, EXAMPLES)
    add_model_arguments(parser)
    add_sequence_arguments(parser)
    parser.add_argument("--both-strands", action="store_true", help="average over the sequence and its complement")
    add_unknown_argument(parser)
    add_output_arguments(parser, required=False)
    return parser.parse_args()


def main() -> None:
    arguments = parse_arguments()
    sequences = sequences_of(arguments)
    model = open_model(arguments)
    if arguments.output is None and model.head is not None and model.head.decoder.mode == "position":
        raise InputError("one class a position is a list a sequence, which needs --output (.parquet, .h5 or .jsonl)")
    found: Any = model.predict(
        sequences,
        both_strands=arguments.both_strands,
        unknown=arguments.unknown,
        column=arguments.column,
        output=arguments.output or "pandas",
        overwrite=arguments.overwrite,
        part_bases=arguments.part_bases,
        progress=True,
    )
    if arguments.output is not None:
        say(f"wrote {arguments.output}")
        return
    vectors = found.pop("values" if "values" in found else "probabilities")
    shown = pd.concat([found, pd.DataFrame(np.stack(vectors), columns=list(model.classes))], axis=1)
    shown.to_csv(sys.stdout, sep="\t", index=False, float_format="%.6g")


if __name__ == "__main__":
    run_command(main)
