"""The options that every command with --model shares: which model, on what, which sequences, and where rows go."""

import argparse
import sys
from pathlib import Path
from typing import Any

from hyena_ds.api import HyenaDNA
from hyena_ds.errors import InputError
from hyena_ds.inference.jobs import PART_BASES

EXIT_CODES = "exit codes: 0 done, 2 your input (one line says what), 74 storage.\n"
SEQUENCE_HELP = """\
--input is a FASTA file, or a CSV, TSV or Parquet table with a column `sequence` or `seq`; gzip too. Lower case is read
as bases, ambiguity codes as N. All input is checked before the model starts.
"""
OUTPUT_HELP = """\
A large job is written in parts beside --output: killed at any moment, the same command goes on behind the last part,
and the output appears when it is complete.
"""


def add_model_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--model", required=True, help="a run directory, an export, a published directory or .ckpt, or a hub id"
    )
    parser.add_argument("--device", help="cuda, cuda:1 or cpu (default: a GPU where there is one)")
    parser.add_argument("--precision", choices=("fp32", "bf16"), default="fp32", help="bf16: faster, on a GPU")
    parser.add_argument("--tokens-per-batch", type=int, metavar="N", help="default 2^13 on a CPU, up to 2^20 on a GPU")
    parser.add_argument(
        "--filter-shift", type=float, metavar="S", help="of original .ckpt weights, whose config does not say it (0.05)"
    )


def add_sequence_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--input", type=Path, help="FASTA, CSV, TSV or Parquet")
    parser.add_argument("--sequence", action="append", metavar="ACGT", help="a sequence itself; may be repeated")
    parser.add_argument("--column", help="of a table, the column that holds the sequences")


def add_window_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--window", type=int, metavar="N", help="read in windows of N bases (default: whole)")
    parser.add_argument(
        "--overlap", type=int, metavar="N", help="bases that two windows share (default: half a window)"
    )
    add_unknown_argument(parser)


def add_unknown_argument(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--unknown", choices=("refuse", "mark"), default="refuse", help="characters that are no nucleotide code"
    )


def add_output_arguments(parser: argparse.ArgumentParser, *, required: bool) -> None:
    parser.add_argument("--output", type=Path, required=required, help="ends in .parquet, .h5 or .jsonl")
    parser.add_argument("--overwrite", action="store_true", help="replace what stands at --output")
    parser.add_argument(
        "--part-bases", type=int, metavar="N", help=f"bases of a part (default {PART_BASES:,}; on a GPU 64 batches)"
    )


def open_model(arguments: argparse.Namespace) -> HyenaDNA:
    """The model of --model, with a line that says what was opened."""
    model = HyenaDNA.from_pretrained(
        arguments.model,
        device=arguments.device,
        precision=arguments.precision,
        tokens_per_batch=arguments.tokens_per_batch,
        filter_shift=arguments.filter_shift,
    )
    for note in model.notes:
        print(f"note: {note}", file=sys.stderr)
    config = model.frozen.config
    say(
        f"opened {model.source}: {config.n_layer} layers, width {config.d_model}, l_max {config.l_max:,} tokens; "
        f"{arguments.precision} on {model.frozen.device}"
    )
    return model


def sequences_of(arguments: argparse.Namespace) -> Any:
    """What --input or --sequence gave."""
    if (arguments.input is None) == (arguments.sequence is None):
        raise InputError("give either --input (a file) or --sequence (bases)")
    return arguments.input or arguments.sequence


def window_options(arguments: argparse.Namespace) -> dict[str, Any]:
    """The options of reading, by the names that the API gives them."""
    names = ("column", "window", "overlap", "unknown", "part_bases")
    return {name: getattr(arguments, name) for name in names}


def say(line: str) -> None:
    """What happens, on stderr: stdout is for results."""
    print(line, file=sys.stderr, flush=True)
