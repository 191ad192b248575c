"""Which stretches of a genome train, validate and test: by BED, by chromosome or by fraction."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from hyena_ds.errors import InputError
from hyena_ds.genome.bed import BedLine
from hyena_ds.genome.interval import Interval
from hyena_ds.genome.names import resolve

SPLITS = ("train", "valid", "test")
DEFAULT_FRACTIONS = (0.8, 0.1, 0.1)

Splits = dict[str, list[Interval]]


@dataclass(frozen=True)
class SplitFractions:
    """Shares of each sequence, in this order along it: train first, test last."""

    train: float
    valid: float
    test: float

    def __post_init__(self) -> None:
        shares = (self.train, self.valid, self.test)
        if not (min(shares) >= 0 and abs(sum(shares) - 1) <= 1e-9):  # refuses nan too
            shown = ",".join(f"{share:g}" for share in shares)
            raise InputError(f"split fractions {shown} must be at least 0 and sum to 1, as 0.8,0.1,0.1 do")

    def cuts(self, length: int) -> tuple[int, int, int, int]:
        """The positions between which the splits of a sequence of `length` bases lie."""
        return 0, round(length * self.train), round(length * (self.train + self.valid)), length


def parse_fractions(text: str) -> SplitFractions:
    """`0.8,0.1,0.1` as train, valid, test."""
    try:
        train, valid, test = (float(part) for part in text.split(","))
    except ValueError:
        raise InputError(f"split fractions {text!r} must be three numbers train,valid,test, as 0.8,0.1,0.1") from None
    return SplitFractions(train, valid, test)


def split_by_fraction(lengths: Mapping[str, int], fractions: SplitFractions) -> Splits:
    """Each sequence cut into contiguous train, valid and test stretches; shares of no base are left out."""
    splits: Splits = {split: [] for split in SPLITS}
    for name, length in lengths.items():
        cuts = fractions.cuts(length)
        for split, (start, end) in zip(SPLITS, pairwise(cuts), strict=True):
            if end > start:
                splits[split].append(Interval(name, start, end))
    return splits


def split_by_chromosome(lengths: Mapping[str, int], valid: Sequence[str], test: Sequence[str]) -> Splits:
    """Whole sequences: those named validate or test, all others train.

    Raises InputError for an unknown name and for one that stands in both.
    """
    chosen = {resolve(name, lengths): "valid" for name in valid}
    for name in (resolve(name, lengths) for name in test):
        if name in chosen:
            raise InputError(f"chromosome {name} cannot both validate and test; name it once")
        chosen[name] = "test"
    splits: Splits = {split: [] for split in SPLITS}
    for name, length in lengths.items():
        splits[chosen.get(name, "train")].append(Interval(name, 0, length))
    return splits


def split_by_bed(lines: Iterable[BedLine]) -> Splits:
    """The intervals of placed BED lines by their split, in the order of the file."""
    splits: Splits = {split: [] for split in SPLITS}
    for line in lines:
        splits[line.split].append(line.interval)
    return splits


def merged(intervals: Iterable[Interval]) -> list[Interval]:
    """The union of `intervals`, sorted by sequence and start, without overlap or touching neighbours."""
    union: list[Interval] = []
    for interval in sorted(intervals):
        last = union[-1] if union else None
        if last and last.sequence == interval.sequence and interval.start <= last.end:
            union[-1] = Interval(last.sequence, last.start, max(last.end, interval.end))
        else:
            union.append(interval)
    return union


def shared_bases(left: Iterable[Interval], right: Iterable[Interval]) -> int:
    """Bases that the unions of two lists of intervals have in common."""
    ours, theirs = merged(left), merged(right)
    total = position = 0
    for interval in ours:
        while position < len(theirs) and (theirs[position].sequence, theirs[position].end) <= (
            interval.sequence,
            interval.start,
        ):
            position += 1
        ahead = position
        while ahead < len(theirs) and (theirs[ahead].sequence, theirs[ahead].start) < (interval.sequence, interval.end):
            total += interval.overlap(theirs[ahead])
            ahead += 1
    return total
