"""How likely sequences are, and what variants change: `python launch/score.py --model hf/1m --input genes.fa`."""

import argparse
import sys
from pathlib import Path
from typing import Any

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
    add_window_arguments,
    open_model,
    say,
    sequences_of,
    window_options,
)

EXAMPLES = f"""\
examples:
  python launch/score.py --model hf/demo --input genes.fa.gz                          a table on stdout
  python launch/score.py --model hf/demo --input genes.fa.gz --both-strands --output scores.parquet
  python launch/score.py --model hf/demo --sequence ACGTTGCAAC --per-base --output one.jsonl
  python launch/score.py --model hf/demo --input chromosomes.fa --window 1000 --output chromosomes.parquet
  python launch/score.py --model hf/demo --vcf variants.vcf.gz --fasta genome.fa.gz --output effects.parquet

{SEQUENCE_HELP}
log_likelihood is the sum in nats over A, C, G and T given what stands before them; the first base, which has nothing
before it, and unknown ones are not scored. --both-strands also reads the reverse complement and averages. --per-base
adds `forward` (and `reverse`), one value a base, null or NaN where it is not scored, and `marks`: 1 for N, 2 for
[UNK], plus 4 for lower case.

With --vcf (pip install 'hyena_ds[vcf]') each alternative allele gets a row: effect is the log-likelihood of the window
with the allele less that with the reference, so below 0 is less likely than the reference. --window is the longest
haplotype (default 1,024), centred on the record. A reference base that is not the genome's is refused by name.
{OUTPUT_HELP}
In Python: HyenaDNA.from_pretrained("hf/demo").score("genes.fa.gz"), .variant_effect("genome.fa.gz", "variants.vcf.gz")

{EXIT_CODES}"""


def parse_arguments() -> argparse.Namespace:
    parser = command_parser(__doc__, EXAMPLES)
    add_model_arguments(parser)
    add_sequence_arguments(parser)
    parser.add_argument("--vcf", type=Path, help="score the variants of a VCF or BCF file, which needs --fasta")
    parser.add_argument("--fasta", type=Path, help="the genome of --vcf")
    parser.add_argument("--cache", type=Path, help="keep the index, and a plain copy of a compressed --fasta, here")
    parser.add_argument("--both-strands", action="store_true", help="average over the sequence and its complement")
    parser.add_argument("--per-base", action="store_true", help="also the log-likelihood of each base")
    add_window_arguments(parser)
    add_output_arguments(parser, required=False)
    return parser.parse_args()


def score_variants(arguments: argparse.Namespace) -> object:
    if arguments.fasta is None or arguments.input is not None or arguments.sequence is not None:
        raise InputError("--vcf needs --fasta, and neither --input nor --sequence")
    if arguments.per_base or arguments.overlap is not None:
        raise InputError("--per-base and --overlap belong to sequences; leave them out with --vcf")
    return open_model(arguments).variant_effect(
        arguments.fasta,
        arguments.vcf,
        window=arguments.window,
        both_strands=arguments.both_strands,
        cache=arguments.cache,
        output=arguments.output or "pandas",
        overwrite=arguments.overwrite,
        part_bases=arguments.part_bases,
        progress=True,
    )


def score_sequences(arguments: argparse.Namespace) -> object:
    if arguments.fasta is not None:
        raise InputError("--fasta is the genome of --vcf; sequences to score are --input")
    if arguments.per_base and arguments.output is None:
        raise InputError("--per-base writes a list a sequence, which needs --output (.parquet, .h5 or .jsonl)")
    sequences = sequences_of(arguments)
    return open_model(arguments).score(
        sequences,
        both_strands=arguments.both_strands,
        per_base=arguments.per_base,
        output=arguments.output or "pandas",
        overwrite=arguments.overwrite,
        progress=True,
        **window_options(arguments),
    )


def main() -> None:
    arguments = parse_arguments()
    found = score_sequences(arguments) if arguments.vcf is None else score_variants(arguments)
    if arguments.output is not None:
        say(f"wrote {arguments.output}")
        return
    frame: Any = found
    frame.to_csv(sys.stdout, sep="\t", index=False, float_format="%.6g")


if __name__ == "__main__":
    run_command(main)
