"""From genome to shard directory: shard_genome(ShardPlan.of(Path("genome.fa")), Path("shards"))."""

import shutil
import sys
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from hyena_ds.genome.fasta import Fasta, Say, open_fasta
from hyena_ds.genome.index import INDEX_NAME, ShardIndex, write_index
from hyena_ds.genome.index_build import build_index
from hyena_ds.genome.plan import PlannedGenome, PlannedRecord, ShardPlan, plan_genomes, plan_records
from hyena_ds.genome.progress import Progress
from hyena_ds.genome.ranks import OneRank, Ranks, on_first
from hyena_ds.genome.tar import WrittenShard, write_shard
from hyena_ds.genome.workspace import check_output, make_partial, publish, sync

Advance = Callable[[int], None]


def to_stderr(line: str) -> None:
    """Tell the user one thing."""
    print(line, file=sys.stderr, flush=True)


def default_cache(output: Path) -> Path:
    """Where indexes and decompressed copies are kept: beside the output."""
    return output.absolute().parent / ".fasta_cache"


def _scan_share(plan: ShardPlan, cache: Path, ranks: Ranks, say: Say, shown: bool) -> list[tuple[int, Fasta]]:
    share = []
    for number in range(ranks.rank, len(plan.genomes), ranks.size):
        path = plan.genomes[number].path
        size = path.stat().st_size if path.is_file() else 0
        with Progress(f"reading {path.name}", size, "B", shown) as progress:
            share.append((number, open_fasta(path, cache, say, progress.advance)))
    return share


def scan_genomes(
    plan: ShardPlan, output: Path, *, overwrite: bool, ranks: Ranks, say: Say, shown: bool = False
) -> tuple[PlannedGenome, ...]:
    """Scan the FASTA files of `plan`, shared among `ranks`, and place their splits; `output` is only checked.

    Raises InputError for a genome, BED file, chromosome or output that cannot be used. `shown` shows progress.
    """
    on_first(ranks, lambda: check_output(output, overwrite))
    cache = plan.cache or default_cache(output)
    shares = ranks.everywhere(lambda: _scan_share(plan, cache, ranks, say, shown))
    fastas = [fasta for _, fasta in sorted((pair for share in shares for pair in share), key=lambda pair: pair[0])]
    return plan_genomes(plan, fastas)


def _by_shard(records: Sequence[PlannedRecord]) -> list[list[PlannedRecord]]:
    shards: list[list[PlannedRecord]] = [[] for _ in range(records[-1].shard + 1)]
    for record in records:
        shards[record.shard].append(record)
    return shards


def _write_each(
    shards: list[list[PlannedRecord]], directory: Path, genomes: Sequence[PlannedGenome]
) -> list[WrittenShard]:
    return [write_shard(directory, records, genomes) for records in shards]


def _write_all(
    directory: Path, shards: list[list[PlannedRecord]], genomes: Sequence[PlannedGenome], ranks: Ranks, advance: Advance
) -> list[WrittenShard]:
    """One shard a rank at a time, so that the error of one rank reaches the others within a shard."""
    written: list[WrittenShard] = []
    for start in range(0, len(shards), ranks.size):
        mine = shards[start : start + ranks.size][ranks.rank : ranks.rank + 1]
        shares = ranks.everywhere(partial(_write_each, mine, directory, genomes))
        finished = [shard for share in shares for shard in share]
        advance(sum(shard.bases for shard in finished))
        written += finished
    return written


def _finish(index: ShardIndex, directory: Path, output: Path) -> ShardIndex:
    unnamed = directory / f".{INDEX_NAME}"
    write_index(index, unnamed)
    sync(unnamed)
    unnamed.rename(directory / INDEX_NAME)
    publish(directory, output)
    return index


def shard_planned(
    plan: ShardPlan,
    genomes: Sequence[PlannedGenome],
    output: Path,
    *,
    overwrite: bool,
    ranks: Ranks,
    advance: Advance = lambda bases: None,
) -> ShardIndex:
    """Write the shards of scanned `genomes` aside, then their index, then rename all to `output`.

    The bytes are the same for any number of `ranks`. `advance` takes the bases that all of them wrote.
    """
    shards = _by_shard(plan_records(genomes, plan))
    aside = on_first(ranks, lambda: make_partial(output, overwrite))
    try:
        written = _write_all(aside, shards, genomes, ranks, advance)
        return on_first(ranks, lambda: _finish(build_index(plan.resolved_policy, genomes, written), aside, output))
    except BaseException:
        if ranks.rank == 0:
            shutil.rmtree(aside, ignore_errors=True)
        raise


def shard_genome(
    plan: ShardPlan, output: Path, *, overwrite: bool = False, ranks: Ranks | None = None, say: Say = to_stderr
) -> ShardIndex:
    """Scan the genomes of `plan` and write them as shards to the directory `output`, complete or absent.

    `say` takes one line for each thing the user should know. Raises InputError for a genome, BED file or output
    directory that cannot be used, before any shard is written; `overwrite` replaces a directory that holds shards.
    """
    ranks = ranks or OneRank()
    genomes = scan_genomes(plan, output, overwrite=overwrite, ranks=ranks, say=say)
    return shard_planned(plan, genomes, output, overwrite=overwrite, ranks=ranks)
