"""Make shards of genomes: python -m preprocessing.shard --fasta genome.fa --output data/genome"""

import argparse
import sys
import time
import traceback
from collections.abc import Sequence
from pathlib import Path

from hyena_ds.errors import HyenaError, InputError, run_command
from hyena_ds.genome.plan import RECORD_BASES, SHARD_BASES, Genome, ShardPlan
from hyena_ds.genome.progress import Progress
from hyena_ds.genome.ranks import MpiRanks, OneRank, Ranks
from hyena_ds.genome.shard import scan_genomes, shard_planned, to_stderr
from hyena_ds.genome.splits import DEFAULT_FRACTIONS, parse_fractions
from hyena_ds.genome.summary import closing_summary
from hyena_ds.parallel.environment import read_environment

DEFAULT_SHARES = ",".join(f"{share:g}" for share in DEFAULT_FRACTIONS)

EXAMPLES = """examples:
  python -m preprocessing.shard --fasta hg38.fa --bed human-sequences.bed --output data/hg38 --length 1024
  python -m preprocessing.shard --fasta human=hg38.fa --fasta mouse=mm10.fa --output data/two
  mpirun -n 8 python -m preprocessing.shard --fasta hg38.fa --test-chromosomes chr14 chrX --output data/hg38
"""


def build_parser() -> argparse.ArgumentParser:
    """The options of this command."""
    parser = argparse.ArgumentParser(
        prog="python -m preprocessing.shard",
        description=__doc__,
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("--fasta", action="append", required=True, metavar="[SPECIES=]FILE", help="plain, gzip or bgzip; repeatable")
    add("--species", help="species of the FASTA files given without one; by default the file name")
    add("--assembly", action="append", default=[], metavar="[SPECIES=]NAME", help="by default the file name")
    add("--bed", action="append", default=[], metavar="[SPECIES=]FILE", help="intervals, the split in column 4")
    add("--output", type=Path, required=True, help="directory to make")
    add("--overwrite", action="store_true", help="replace an output that holds shards")
    add("--split-fractions", metavar="TRAIN,VALID,TEST", help=f"along each sequence; by default {DEFAULT_SHARES}")
    add("--valid-chromosomes", nargs="+", default=[], metavar="NAME", help="whole sequences that validate")
    add("--test-chromosomes", nargs="+", default=[], metavar="NAME", help="whole sequences that test")
    add("--policy", choices=("tile", "extend"), help="by default extend with --bed, else tile")
    add("--length", nargs="+", type=int, action="extend", default=[], metavar="BASES", help="window lengths to report")
    add("--record-bases", type=int, default=RECORD_BASES, help="bases in one record (%(default)s)")
    add("--shard-bases", type=int, default=SHARD_BASES, help="bases in one tar file (%(default)s)")
    add("--cache", type=Path, help="where indexes and plain copies are kept; by default .fasta_cache beside the output")
    return parser


def _named(text: str) -> tuple[str, str]:
    """`species=value` as its two parts; a file that has an equals sign in its name stays whole."""
    species, equals, value = text.partition("=")
    if not equals or Path(text).exists():
        return "", text
    return species, value


def _of_species(option: str, texts: Sequence[str], species: Sequence[str]) -> dict[str, str]:
    """The values of a repeatable `[SPECIES=]VALUE` option by species."""
    values: dict[str, str] = {}
    for text in texts:
        name, value = _named(text)
        if not name and len(set(species)) > 1:
            raise InputError(f"{option} {text}: say which species, {option} {species[0]}={text}")
        name = name or species[0]
        if name not in species:
            raise InputError(f"{option} {text}: no --fasta is of species {name!r}, there is {', '.join(species)}")
        if name in values:
            raise InputError(f"{option} is given twice for {name}; give it once")
        values[name] = value
    return values


def read_genomes(options: argparse.Namespace) -> tuple[Genome, ...]:
    """The genomes that the command line names, each with its species, assembly and BED file."""
    pairs = [_named(text) for text in options.fasta]
    genomes = [Genome(Path(path), species or options.species or "") for species, path in pairs]
    species = [genome.species for genome in genomes]
    assemblies = _of_species("--assembly", options.assembly, species)
    beds = _of_species("--bed", options.bed, species)
    return tuple(
        Genome(
            genome.path,
            genome.species,
            assemblies.get(genome.species, ""),
            Path(beds[genome.species]) if genome.species in beds else None,
        )
        for genome in genomes
    )


def read_plan(options: argparse.Namespace) -> ShardPlan:
    """The plan that the command line asks for; raises InputError where its options contradict each other."""
    if any(length < 1 for length in options.length):
        raise InputError(f"--length {min(options.length)} must be at least 1 base")
    ways = [options.split_fractions, options.valid_chromosomes or options.test_chromosomes]
    if options.split_fractions and (ways[1] or options.bed):
        raise InputError("--split-fractions cannot join --bed or chromosomes; choose one way to split")
    return ShardPlan(
        read_genomes(options),
        fractions=parse_fractions(options.split_fractions or DEFAULT_SHARES),
        valid_chromosomes=tuple(options.valid_chromosomes),
        test_chromosomes=tuple(options.test_chromosomes),
        policy=options.policy,
        record_bases=options.record_bases,
        shard_bases=options.shard_bases,
        cache=options.cache,
    )


def shard(options: argparse.Namespace, ranks: Ranks) -> None:
    """Do what the command line asks for and close with a summary."""
    started = time.monotonic()
    plan = read_plan(options)
    first = ranks.rank == 0
    genomes = scan_genomes(plan, options.output, overwrite=options.overwrite, ranks=ranks, say=to_stderr, shown=first)
    total = sum(planned.fasta.scan.bases for planned in genomes)
    with Progress("sharding", total, " bases", shown=first) as progress:
        index = shard_planned(
            plan, genomes, options.output, overwrite=options.overwrite, ranks=ranks, advance=progress.advance
        )
    if first:
        print(closing_summary(index, genomes, options.length, str(options.output), time.monotonic() - started))


def _shard_under_mpi(options: argparse.Namespace, ranks: MpiRanks) -> None:
    """An error that no exchange carries to the other ranks ends them too, instead of leaving them waiting."""
    try:
        shard(options, ranks)
    except Exception as error:
        if not isinstance(error, HyenaError):
            traceback.print_exc()
            ranks.abort()
        raise


def main() -> None:
    """Run the command alone or as one rank of an MPI job."""
    options = build_parser().parse_args()
    environment = read_environment()
    if environment.world_size > 1:
        _shard_under_mpi(options, MpiRanks(expected=environment.world_size))
    else:
        shard(options, OneRank())


if __name__ == "__main__":
    sys.exit(run_command(main, speaks=read_environment().is_main))
