"""Splice sites of any genome with an exon table: each site against a decoy, the same two bases where none is."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from pydantic import Field

from hyena_ds.config.section import Section
from hyena_ds.downstream.example import Example, read_bases
from hyena_ds.downstream.table import read_rows
from hyena_ds.errors import InputError
from hyena_ds.genome.alphabet import A, C, G, T, reverse_complement
from hyena_ds.genome.fasta import FastaReader, Say, open_fasta
from hyena_ds.genome.interval import Interval
from hyena_ds.genome.names import canonical

Site = Literal["donor", "acceptor"]
DECOY = "decoy"
# The two bases of an intron's end on the strand of the gene.
MOTIFS: dict[Site, tuple[int, int]] = {"donor": (G, T), "acceptor": (A, G)}
REVERSED: dict[Site, tuple[int, int]] = {"donor": (A, C), "acceptor": (C, T)}
COLUMNS = ("GeneID", "Chr", "Start", "End", "Strand")


class SpliceConfig(Section):
    """Which `site` is told from decoys: GT (donor) or AG (acceptor) within the same gene that is no site.

    Sites that are not GT or AG, 3 % in human, are left out: no decoy could be like them. `seed` draws the decoys.
    """

    site: Site
    seed: int = Field(default=2222, ge=0)


@dataclass(frozen=True)
class Gene:
    """The exons of a gene on one strand of one sequence, 0-based, half-open, sorted, [n, 2]."""

    name: str
    minus: bool
    exons: np.ndarray

    def sites(self, site: Site) -> np.ndarray:
        """Where on the plus strand the two bases of each intron's end begin."""
        before, after = self.exons[:-1, 1], self.exons[1:, 0]
        introns = after - before >= 4  # both ends' bases
        starts: np.ndarray = before[introns] if (site == "donor") != self.minus else after[introns] - 2
        return starts


def read_splice_sites(
    table: Path, genome: Path, window: int, config: SpliceConfig, cache: Path, say: Say
) -> Iterator[Example]:
    """Windows with the two bases of a site, or of a decoy, in their middle; as many of the one as of the other.

    `table` has the columns GeneID, Chr, Start, End, Strand, 1-based and inclusive (SAF, of Subread); `window` is even.
    """
    if window % 2:
        raise InputError(f"data.window={window} has no middle two bases; make it even")
    genes = read_genes(table)
    fasta = open_fasta(genome, cache, say)
    found = [sequence for sequence in fasta.scan.sequences if canonical(sequence.name) in genes]
    if not found:
        raise InputError(f"{table} and {genome} name no sequence alike; are they of the same assembly?")
    generator = np.random.default_rng(config.seed)
    with FastaReader(fasta) as reader:
        for sequence in found:
            whole = Interval(sequence.name, 0, sequence.length)
            tokens = read_bases(reader.bases(whole).decode("ascii"), sequence.name)
            for start, minus, label in _sites(genes[canonical(sequence.name)], tokens, window, config.site, generator):
                interval = Interval(sequence.name, start + 1 - window // 2, start + 1 + window // 2)
                bases = tokens[interval.start : interval.end].copy()
                place = f"{interval} {'-' if minus else '+'}"
                yield Example(reverse_complement(bases) if minus else bases, (label,), place, interval)


def read_genes(table: Path) -> dict[str, list[Gene]]:
    """The genes of each sequence, by the canonical name of the sequence, in the order of their names."""
    exons: dict[tuple[str, str, bool], set[tuple[int, int]]] = {}
    for place, _, row in read_rows(table, None):
        try:
            gene, name, start, end, strand = (row[column] for column in COLUMNS)
            span = (int(start) - 1, int(end))
        except (KeyError, ValueError):
            raise InputError(f"{place}: {row} is not {', '.join(COLUMNS)}; give an exon table (SAF)") from None
        exons.setdefault((canonical(name), gene, strand == "-"), set()).add(span)
    genes: dict[str, list[Gene]] = {}
    for (name, gene, minus), spans in sorted(exons.items()):
        genes.setdefault(name, []).append(Gene(gene, minus, np.array(sorted(spans))))
    return genes


def _sites(
    genes: Sequence[Gene], tokens: np.ndarray, window: int, site: Site, generator: np.random.Generator
) -> Iterator[tuple[int, bool, str]]:
    """Start, strand and label of every site and of as many decoys, none twice."""
    annotated = {
        minus: np.concatenate(
            [np.empty(0, dtype=np.int64), *(gene.sites(site) for gene in genes if gene.minus == minus)]
        )
        for minus in (False, True)
    }
    used: dict[bool, set[int]] = {False: set(), True: set()}
    for gene in genes:
        motif = REVERSED[site] if gene.minus else MOTIFS[site]
        first = max(int(gene.exons[0, 0]), window // 2 - 1)
        last = min(int(gene.exons[-1, 1]), len(tokens) - window // 2 + 1)
        same = first + _occurrences(tokens[first:last], motif)
        sites = np.setdiff1d(np.intersect1d(gene.sites(site), same), list(used[gene.minus]))
        free = np.setdiff1d(np.setdiff1d(same, annotated[gene.minus]), list(used[gene.minus]))
        count = min(len(sites), len(free))
        decoys = generator.choice(free, count, replace=False)
        used[gene.minus].update([*sites.tolist(), *decoys.tolist()])
        for label, starts in ((site, sites[:count]), (DECOY, decoys)):
            yield from ((int(start), gene.minus, label) for start in np.sort(starts))


def _occurrences(tokens: np.ndarray, motif: tuple[int, int]) -> np.ndarray:
    return np.flatnonzero((tokens[:-1] == motif[0]) & (tokens[1:] == motif[1]))
