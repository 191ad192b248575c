"""What was sharded, in lines for the user: every number with its unit."""

from collections.abc import Iterable, Sequence

from hyena_ds.genome.index import ShardIndex
from hyena_ds.genome.plan import PlannedGenome
from hyena_ds.genome.splits import SPLITS
from hyena_ds.genome.windows import report_windows

MEBIBYTE = 2**20


def window_lines(index: ShardIndex, window_lengths: Iterable[int]) -> list[str]:
    """What the splits share as given, then windows and sharing at each length that will be used."""
    lines = []
    for report in (report_windows(index, length) for length in (None, *window_lengths)):
        place = "as given" if report.length is None else f"at {report.length:,} bases"
        pairs = [(*pair, bases) for pair, bases in report.shared.items() if bases]
        shared = [f"{left} and {right} share {bases:,} bases" for left, right, bases in pairs]
        overlap = "overlap between splits: " + ("; ".join(shared) or "none")
        if report.length is None:
            lines.append(f"  {place}: {overlap}")
        else:
            counts = ", ".join(f"{split} {count:,}" for split, count in report.windows.items())
            lines.append(f"  {place}: windows {counts}; {overlap}")
    return lines


def genome_lines(genomes: Sequence[PlannedGenome]) -> list[str]:
    """One line a genome: sequences, bases, composition, what became N."""
    lines = []
    for planned in genomes:
        scan = planned.fasta.scan
        known = max(1, scan.bases - scan.composition["N"])
        gc = (scan.composition["G"] + scan.composition["C"]) / known
        lines.append(
            f"  {planned.genome.species} ({planned.genome.assembly}): {len(scan.sequences):,} sequences, "
            f"{scan.bases:,} bases, N {scan.composition['N']:,} bases, "
            f"soft-masked {scan.soft_masked:,} bases, GC {gc:.2%} of A, C, G, T"
        )
        if scan.ambiguous:
            letters = ", ".join(f"{letter} {count:,}" for letter, count in scan.ambiguous.items())
            lines.append(f"  {planned.genome.species}: ambiguity codes stored as N: {letters} bases")
    return lines


def closing_summary(
    index: ShardIndex,
    genomes: Sequence[PlannedGenome],
    window_lengths: Iterable[int],
    place: str,
    seconds: float,
) -> str:
    """The last words of `preprocessing.shard`, with the next command to type."""
    size = sum(shard.bytes for shard in index.shards)
    shown = ", ".join(f"{split} {index.bases(split):,}" for split in SPLITS)
    records = sum(len(sequence.records) for sequence in index.sequences)
    lines = [
        f"{place}: {len(index.shards):,} shards, {records:,} records, {size / MEBIBYTE:,.1f} MiB, {seconds:.1f} s",
        *genome_lines(genomes),
        f"  bases by split: {shown}; policy {index.policy}",
        *window_lines(index, window_lengths),
        f"next: python -m preprocessing.verify {place}",
    ]
    return "\n".join(lines)
