"""Where a genome holds given sequences, on either strand, and the intervals that are left without them."""

import hashlib
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

from hyena_ds.errors import InputError
from hyena_ds.genome.alphabet import A, T, encode, reverse_complement
from hyena_ds.genome.fasta import Fasta, FastaReader
from hyena_ds.genome.interval import Interval
from hyena_ds.genome.splits import merged

ANCHOR_BASES = 31  # as many as a 64-bit number holds, with one bit for what is no anchor
NO_ANCHOR = np.uint64(2**63)
CHUNK_BASES = 2**21
# Beside a run: digests of the sequences that it was trained without.
SEQUENCES_NAME = "held_out_sequences.txt"


def write_digests(place: Path, sequences: Iterable[str]) -> None:
    """Note that what is trained in `place` is trained without `sequences`."""
    (place / SEQUENCES_NAME).write_text("\n".join(sorted(map(_digest, sequences))) + "\n", encoding="utf-8")


def check_held_out(run: Path, sequences: Sequence[str]) -> None:
    """Raise InputError where one of `sequences` is not known to be held out of the training of `run`."""
    path = run.parent / SEQUENCES_NAME
    if not path.exists():
        raise InputError(f"{run} does not tell what it was trained without; train it by benchmarks/chr20_held_out.py")
    known = set(path.read_text(encoding="utf-8").split())
    missing = sum(_digest(sequence) not in known for sequence in sequences)
    if missing:
        raise InputError(
            f"{missing:,} of {len(sequences):,} test sequences are not in {path}: {run} may have been trained on them; "
            "train it again by benchmarks/chr20_held_out.py"
        )


def _digest(sequence: str) -> str:
    return hashlib.sha256(sequence.encode()).hexdigest()[:24]


def anchor_codes(tokens: np.ndarray) -> np.ndarray:
    """A number for the `ANCHOR_BASES` bases that begin at each position, uint64; NO_ANCHOR where one is unknown."""
    known = (tokens >= A) & (tokens <= T)
    bases = np.where(known, tokens - A, 0).astype(np.uint64)
    count = max(len(tokens) - ANCHOR_BASES + 1, 0)
    codes = np.zeros(count, dtype=np.uint64)
    for offset in range(ANCHOR_BASES):
        codes = codes * np.uint64(4) + bases[offset : offset + count]
    strange = np.concatenate([[0], np.cumsum(~known)])
    codes[strange[ANCHOR_BASES : ANCHOR_BASES + count] > strange[:count]] = NO_ANCHOR
    return codes


def find_places(name: str, genome: np.ndarray, sequences: Iterable[np.ndarray]) -> list[Interval]:
    """Every place of `genome` (tokens uint8 [L] of the sequence `name`) that holds one of `sequences`, sorted.

    Both strands are looked at. A sequence without `ANCHOR_BASES` known bases in a row raises ValueError.
    """
    wanted = [strand for sequence in sequences for strand in (sequence, reverse_complement(sequence))]
    anchors = np.zeros(len(wanted), dtype=np.uint64)
    offsets = np.zeros(len(wanted), dtype=np.int64)
    for number, sequence in enumerate(wanted):
        codes = anchor_codes(sequence)
        found = np.flatnonzero(codes != NO_ANCHOR)
        if not found.size:
            raise ValueError(f"sequence {number // 2} has no {ANCHOR_BASES} known bases in a row")
        offsets[number] = found[0]
        anchors[number] = codes[found[0]]
    order = np.argsort(anchors)
    places: set[Interval] = set()
    for first in range(0, len(genome), CHUNK_BASES):
        codes = anchor_codes(genome[first : first + CHUNK_BASES + ANCHOR_BASES - 1])
        left = np.searchsorted(anchors[order], codes, side="left")
        right = np.searchsorted(anchors[order], codes, side="right")
        for position in np.flatnonzero(right > left):
            for number in order[left[position] : right[position]]:
                start = first + int(position) - int(offsets[number])
                end = start + len(wanted[number])
                if start >= 0 and np.array_equal(genome[start:end], wanted[number]):
                    places.add(Interval(name, start, end))
    return sorted(places)


def without(whole: Interval, held_out: Iterable[Interval]) -> list[Interval]:
    """What is left of `whole`."""
    left, start = [], whole.start
    for interval in merged(held_out):
        if interval.start > start:
            left.append(Interval(whole.sequence, start, min(interval.start, whole.end)))
        start = max(start, interval.end)
        if start >= whole.end:
            return left
    return [*left, Interval(whole.sequence, start, whole.end)]


def write_intervals(bed: Path, fasta: Fasta, end: int, sequences: Sequence[str], valid_share: float) -> dict[str, int]:
    """A BED of the first sequence of `fasta` up to `end` without the places of `sequences`; returns what was held out.

    The split stands in column 4: the last `valid_share` of the stretch validates, what is before it trains.
    """
    first = fasta.scan.sequences[0]
    read = Interval(first.name, 0, min(end + max(map(len, sequences)), first.length))  # some reach beyond the end
    with FastaReader(fasta) as reader:
        places = find_places(first.name, encode(reader.bases(read)), [encode(one.encode()) for one in sequences])
    border = round(end * (1 - valid_share))
    splits = {"train": Interval(first.name, 0, border), "valid": Interval(first.name, border, end)}
    rows = [(interval, split) for split, stretch in splits.items() for interval in without(stretch, places)]
    lines = [f"{interval.sequence}\t{interval.start}\t{interval.end}\t{split}\n" for interval, split in rows]
    bed.write_text("".join(lines), encoding="utf-8")
    left = sum(interval.length for interval, _ in rows)
    return {"sequences": len(sequences), "places": len(places), "bases": end, "bases_left": left}
