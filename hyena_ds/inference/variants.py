"""Variants of a VCF file, each in its window of the genome: one haplotype an allele."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from hyena_ds.errors import InputError
from hyena_ds.genome.interval import Interval
from hyena_ds.inference.genome_access import Genome
from hyena_ds.inference.sequences import NamedSequence

_BASES = re.compile(r"[ACGT]+", re.IGNORECASE)


@dataclass(frozen=True)
class Variant:
    """A record: the `reference` bases of `interval`, and what stands there instead; `number` counts from 1."""

    number: int
    identifier: str
    interval: Interval
    reference: str
    alternatives: tuple[str, ...]

    def __str__(self) -> str:
        return f"record {self.number:,} ({self.interval.sequence}:{self.interval.start + 1:,} {self.identifier})"

    @property
    def alleles(self) -> tuple[str, ...]:
        """The reference, then the alternatives that are written in bases."""
        return (self.reference, *filter(is_sequence, self.alternatives))


def is_sequence(allele: str) -> bool:
    """Whether an allele is written in bases; `<DEL>`, `*`, breakends and ambiguity codes are not.

    What is not known is not scored: a haplotype with N would seem likelier for the base less that counts.
    """
    return bool(_BASES.fullmatch(allele))


@dataclass(frozen=True)
class VariantWindow:
    """A variant between the bases `left` and `right` of it, which all its haplotypes share."""

    variant: Variant
    left: bytes
    right: bytes

    def __len__(self) -> int:
        """Bases of all haplotypes."""
        return sum(map(len, self.haplotypes))

    @cached_property
    def haplotypes(self) -> tuple[NamedSequence, ...]:
        """The reference, then the alternatives that are written in bases."""
        return tuple(
            NamedSequence(f"{self.variant} {allele}", self.left + allele.encode() + self.right)
            for allele in self.variant.alleles
        )

    @property
    def identity(self) -> bytes:
        return b"".join(haplotype.identity for haplotype in self.haplotypes)


@dataclass(frozen=True)
class VariantWindows:
    """The variants of a VCF file in windows of at most `window` bases of `genome`; may be read more than once."""

    vcf: Path
    genome: Genome
    window: int

    def __iter__(self) -> Iterator[VariantWindow]:
        for variant in read_vcf(self.vcf, self.genome):
            if variant.alternatives:
                yield self._place(variant)

    def _place(self, variant: Variant) -> VariantWindow:
        """The window with the variant at its centre, or nearest to it where a sequence ends."""
        interval, length = variant.interval, self.genome.lengths[variant.interval.sequence]
        self._check_reference(variant)
        flanks = self.window - max(map(len, variant.alleles))
        if flanks < 1:
            raise InputError(
                f"{self.vcf}: {variant} has an allele of {self.window - flanks:,} bases, which leaves nothing of a "
                f"window of {self.window:,}; use a larger one (window=..., --window) or leave the record out"
            )
        right = min(flanks - min(flanks // 2, interval.start), length - interval.end)
        left = min(flanks - right, interval.start)
        return VariantWindow(
            variant,
            self._bases(interval.sequence, interval.start - left, interval.start),
            self._bases(interval.sequence, interval.end, interval.end + right),
        )

    def _bases(self, sequence: str, start: int, end: int) -> bytes:
        return self.genome.bases(Interval(sequence, start, end)) if end > start else b""

    def _check_reference(self, variant: Variant) -> None:
        found = self.genome.bases(variant.interval).decode()
        if found.upper() != variant.reference.upper():
            raise InputError(
                f"{self.vcf}: {variant} has reference {variant.reference}, where {self.genome.path.name} has {found}; "
                "is it the VCF of another assembly?"
            )


def read_vcf(path: Path, genome: Genome) -> Iterator[Variant]:
    """The records of a VCF or BCF file under the names of `genome`; raises InputError where it is no such file."""
    pysam = _pysam()
    if not path.is_file():
        raise InputError(f"no VCF file at {path}")
    pysam.set_verbosity(0)  # its own lines on stderr say less than the errors here
    number = 0
    try:
        with pysam.VariantFile(str(path)) as file:
            for number, record in enumerate(file, start=1):
                yield _variant(number, record, genome, path)
    except (ValueError, OSError) as error:
        where = f"behind record {number:,}" if number else "from its header on: the first line is ##fileformat=VCFv4.x"
        raise InputError(f"{path} is no readable VCF {where} ({error})") from None


def _variant(number: int, record: Any, genome: Genome, path: Path) -> Variant:
    identifier = record.id or "."
    try:
        interval = Interval(genome.name(record.chrom), record.start, record.start + len(record.ref))
        interval.check_within(genome.lengths[interval.sequence])
    except InputError as error:
        raise InputError(f"{path}: record {number:,} ({record.chrom}:{record.pos:,} {identifier}): {error}") from None
    return Variant(number, identifier, interval, record.ref, tuple(record.alts or ()))


def _pysam() -> Any:
    try:
        import pysam  # noqa: PLC0415 - an extra that few install
    except ImportError:
        raise InputError("reading a VCF needs pysam: pip install 'hyena_ds[vcf]'") from None
    return pysam
