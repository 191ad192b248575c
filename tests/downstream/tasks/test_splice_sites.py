"""Splice sites and decoys on a toy genome whose sites are known by hand, on both strands."""

from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from hyena_ds.downstream.example import Example
from hyena_ds.downstream.read import read_examples
from hyena_ds.downstream.task import TaskConfig, TaskDataConfig
from hyena_ds.downstream.tasks.splice_sites import read_genes
from hyena_ds.errors import InputError
from hyena_ds.genome.alphabet import decode

TASK = TaskConfig(name="donors", kind="binary")
EXONS, INTRONS = 6, 5
EXON, INTRON, FLANK, LENGTH = 100, 150, 200, 4000
OPPOSITE = str.maketrans("ACGT", "TGCA")


def gene_bases(generator: np.random.Generator) -> str:
    """Six exons with five introns GT..AG between; the second intron is GC..AG, which is left out as a donor."""
    parts = []
    for number in range(EXONS):
        parts.append("".join(generator.choice(list("ACGT"), EXON)))
        if number < INTRONS:
            inside = "".join(generator.choice(list("ACGT"), INTRON - 4))
            parts.append(("GC" if number == 1 else "GT") + inside + "AG")
    return "".join(parts)


def exon_starts() -> list[int]:
    return [FLANK + number * (EXON + INTRON) for number in range(EXONS)]


@pytest.fixture
def genome(tmp_path: Path) -> Path:
    """The same kind of gene on the plus strand of chr1 and on the minus strand of chr2, and an exon table of both."""
    generator = np.random.default_rng(3)
    rows, text = ["GeneID\tChr\tStart\tEnd\tStrand"], ""
    for chromosome, strand in (("chr1", "+"), ("chr2", "-")):
        gene = gene_bases(generator)
        rest = "".join(generator.choice(list("acgt"), LENGTH - FLANK - len(gene)))
        bases = "".join(generator.choice(list("ACGT"), FLANK)) + gene + rest
        spans = [(start, start + EXON) for start in exon_starts()]
        if strand == "-":
            bases = bases[::-1].translate(OPPOSITE)
            spans = [(LENGTH - end, LENGTH - start) for start, end in spans]
        text += f">{chromosome.removeprefix('chr')}\n{bases}\n"
        rows += [f"{chromosome}gene\t{chromosome}\t{start + 1}\t{end}\t{strand}" for start, end in reversed(spans)]
    rows.append("elsewhere\tchr9\t10\t20\t+")
    (tmp_path / "genome.fa").write_text(text)
    (tmp_path / "exons.txt").write_text("\n".join(rows) + "\n")
    return tmp_path


def read(directory: Path, window: int = 60, **section: object) -> list[Example]:
    data = TaskDataConfig(
        train=str(directory / "exons.txt"),
        format="splice_sites",
        fasta=str(directory / "genome.fa"),
        window=window,
        splice_sites={"site": "donor", **section},  # type: ignore[arg-type]
    )
    return read_examples(TASK, data, directory / "cache", lambda line: None)


@pytest.mark.parametrize(("site", "motif", "count"), [("donor", "GT", 4), ("acceptor", "AG", 5)])
def test_sites_stand_in_the_middle_of_both_strands(site: str, motif: str, count: int, genome: Path) -> None:
    found = read(genome, site=site)
    assert Counter((one.interval.sequence, one.label[0]) for one in found if one.interval) == {
        (name, label): count for name in ("1", "2") for label in (site, "decoy")
    }
    assert {decode(one.tokens[29:31]) for one in found} == {motif}
    assert {len(one.tokens) for one in found} == {60}
    introns = [start + EXON for start in exon_starts()[:-1]]
    wanted = {*introns} - {introns[1]} if site == "donor" else {start + INTRON - 2 for start in introns}
    for name, mirrored in (("1", False), ("2", True)):
        starts = {
            LENGTH - one.interval.start - 31 if mirrored else one.interval.start + 29
            for one in found
            if one.interval is not None and one.interval.sequence == name and one.label == (site,)
        }
        assert starts == wanted


def test_decoys_are_no_sites_and_stand_once_within_the_gene(genome: Path) -> None:
    found = read(genome)
    sites = {one.place for one in found if one.label == ("donor",)}
    decoys = [one for one in found if one.label == ("decoy",)]
    assert len({one.place for one in decoys}) == len(decoys)
    assert not sites & {one.place for one in decoys}
    first, last = FLANK, FLANK + EXONS * EXON + INTRONS * INTRON
    for one in decoys:
        assert one.interval is not None
        middle = one.interval.start + 30
        assert first < (middle if one.interval.sequence == "1" else LENGTH - middle) < last
    assert [one.place for one in read(genome)] == [one.place for one in found]
    assert {one.place for one in read(genome, seed=1)} != {one.place for one in found}


def test_windows_beyond_a_chromosome_are_left_out_in_pairs(genome: Path) -> None:
    found = read(genome, window=2 * (FLANK + EXON + 20))
    assert Counter(one.label[0] for one in found) == {
        "donor": 6,
        "decoy": 6,
    }  # the first donor of each gene is too near


def test_what_is_no_exon_table_is_named(genome: Path) -> None:
    assert {name: len(genes) for name, genes in read_genes(genome / "exons.txt").items()} == {"1": 1, "2": 1, "9": 1}
    with pytest.raises(InputError, match="no middle two bases; make it even"):
        read(genome, window=61)
    (genome / "exons.txt").write_text("GeneID\tChr\tStart\tEnd\tStrand\na\tchr9\t1\t5\t+\n")
    with pytest.raises(InputError, match="name no sequence alike"):
        read(genome)
    (genome / "exons.txt").write_text("gene\tChr\tStart\tEnd\tStrand\na\tchr1\t1\t5\t+\n")
    with pytest.raises(InputError, match=r"line 2.*is not GeneID, Chr"):
        read(genome)
