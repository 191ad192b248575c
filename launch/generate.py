"""New bases behind a prompt: `python launch/generate.py --model hf/1m --sequence ACGTTG --bases 1000`."""

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from hyena_ds.config.storage import check_writable
from hyena_ds.errors import InputError, run_command
from launch.command_parser import command_parser
from launch.model_arguments import (
    EXIT_CODES,
    SEQUENCE_HELP,
    add_model_arguments,
    add_sequence_arguments,
    open_model,
    say,
    sequences_of,
)

LINE = 60
EXAMPLES = f"""\
examples:
  python launch/generate.py --model hf/demo --sequence ACGTTGCA --bases 200
  python launch/generate.py --model hf/demo --input prompts.fa --bases 500 --samples 10 --seed 7 --output new.fa
  python launch/generate.py --model hf/demo --sequence ACGTTGCA --bases 200 --temperature 0     always the likeliest
  python launch/generate.py --model hf/demo --sequence ACGTTGCA --bases 200 --temperature 0.8 --top-p 0.9

{SEQUENCE_HELP}
FASTA goes to --output or stdout: each record is a prompt's name, the number of the sample, and the log-likelihood a
base; --with-prompt writes the prompt before the new bases. Only A, C, G and T are drawn. Nothing that was computed is
computed again, so time grows as n log² n with the bases drawn. The same seed gives the same bases.

In Python: HyenaDNA.from_pretrained("hf/demo").generate("ACGTTGCA", 200, temperature=0.8, seed=7)

{EXIT_CODES}"""


def parse_arguments() -> argparse.Namespace:
    parser = command_parser(__doc__, EXAMPLES)
    add_model_arguments(parser)
    add_sequence_arguments(parser)
    parser.add_argument("--bases", type=int, required=True, metavar="N", help="to draw behind each prompt")
    parser.add_argument("--samples", type=int, default=1, metavar="N", help="continuations of each prompt (default 1)")
    parser.add_argument("--temperature", type=float, default=1.0, metavar="T", help="0: the likeliest (default 1)")
    parser.add_argument("--top-k", type=int, metavar="K", help="draw of the K likeliest bases")
    parser.add_argument("--top-p", type=float, metavar="P", help="draw of the likeliest that reach probability P")
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="default 0")
    parser.add_argument("--with-prompt", action="store_true", help="write the prompt, too")
    parser.add_argument("--output", type=Path, help="a FASTA file (default: stdout)")
    parser.add_argument("--overwrite", action="store_true", help="replace what stands at --output")
    return parser.parse_args()


def main() -> None:
    arguments = parse_arguments()
    sequences = sequences_of(arguments)
    if arguments.output is not None and arguments.output.exists() and not arguments.overwrite:
        raise InputError(f"{arguments.output} exists; choose another --output or give --overwrite")
    if arguments.output is not None:
        check_writable(arguments.output.parent, f"--output {arguments.output}")
    generated = open_model(arguments).generate(
        sequences,
        arguments.bases,
        samples=arguments.samples,
        temperature=arguments.temperature,
        top_k=arguments.top_k,
        top_p=arguments.top_p,
        seed=arguments.seed,
        column=arguments.column,
        progress=True,
    )
    records = [
        fasta_record(
            f"{found.name} log_likelihood_per_base={found.log_likelihoods.mean():.4f}",
            found.sequence if arguments.with_prompt else found.bases,
        )
        for found in generated
    ]
    if arguments.output is None:
        print("".join(records), end="")
        return
    arguments.output.write_text("".join(records), encoding="utf-8")
    say(f"wrote {arguments.output}: {len(records):,} sequences of {arguments.bases:,} new bases")


def fasta_record(header: str, bases: str) -> str:
    lines = [bases[start : start + LINE] for start in range(0, len(bases), LINE)]
    return "\n".join([f">{header}", *lines]) + "\n"


if __name__ == "__main__":
    run_command(main)
