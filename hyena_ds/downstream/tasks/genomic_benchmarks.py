"""GenomicBenchmarks (Grešová et al. 2023): nine tasks, as folders of text files or as interval tables and FASTA."""

from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path

from hyena_ds.downstream.example import Example, read_bases
from hyena_ds.downstream.table import read_rows
from hyena_ds.downstream.tasks.entry import PublishedTask
from hyena_ds.errors import InputError
from hyena_ds.genome.alphabet import reverse_complement
from hyena_ds.genome.fasta import Fasta, FastaReader, Say, open_fasta
from hyena_ds.genome.fetch import Source
from hyena_ds.genome.interval import Interval
from hyena_ds.genome.names import canonical

FAMILY = "genomic_benchmarks"
REPOSITORY = "https://raw.githubusercontent.com/ML-Bioinfo-CEITEC/genomic_benchmarks/main/datasets"
ENSEMBL = "https://ftp.ensembl.org/pub"
SPLITS = ("train", "test")
# Sequences of these are longer than the 1,024 bases of the model that the others start from.
LONG = ("dummy_mouse_enhancers_ensembl", "drosophila_enhancers_stark")
# The classes with their examples to train and to test; None where no count is published.
TASKS: dict[str, dict[str, tuple[int, int] | None]] = {
    "dummy_mouse_enhancers_ensembl": {"negative": (484, 121), "positive": (484, 121)},
    "demo_coding_vs_intergenomic_seqs": {"coding_seqs": (37_500, 12_500), "intergenomic_seqs": (37_500, 12_500)},
    "demo_human_or_worm": {"human": (37_500, 12_500), "worm": (37_500, 12_500)},
    "drosophila_enhancers_stark": {"negative": None, "positive": None},
    "human_enhancers_cohn": {"negative": (10_422, 3474), "positive": (10_421, 3474)},
    "human_enhancers_ensembl": {"negative": (61_936, 15_485), "positive": (61_936, 15_485)},
    "human_ensembl_regulatory": {"enhancer": (85_512, 21_378), "ocr": (69_902, 17_476), "promoter": (75_934, 18_859)},
    "human_nontata_promoters": {"negative": (12_355, 4119), "positive": (14_742, 4915)},
    "human_ocr_ensembl": {"negative": (69_902, 17_476), "positive": (69_902, 17_476)},
}


def _genome(path: str) -> Source:
    return Source(f"{ENSEMBL}/{path}", f"genomes/{path.rpartition('/')[2]}")


# The assemblies that the package's metadata name, human and mouse without their alternative sequences.
HUMAN = _genome("release-100/fasta/homo_sapiens/dna/Homo_sapiens.GRCh38.dna.primary_assembly.fa.gz")
TRANSCRIPTS = _genome("release-104/fasta/homo_sapiens/cdna/Homo_sapiens.GRCh38.cdna.all.fa.gz")
MOUSE = _genome("release-100/fasta/mus_musculus/dna/Mus_musculus.GRCm38.dna.primary_assembly.fa.gz")
FLY = _genome("release-100/fasta/drosophila_melanogaster/dna/Drosophila_melanogaster.BDGP6.28.dna.toplevel.fa.gz")
WORM = _genome("release-104/fasta/caenorhabditis_elegans/dna/Caenorhabditis_elegans.WBcel235.dna.toplevel.fa.gz")
# Of the classes that are not human DNA.
GENOMES = {"worm": WORM, "coding_seqs": TRANSCRIPTS}
TASK_GENOMES = {"dummy_mouse_enhancers_ensembl": MOUSE, "drosophila_enhancers_stark": FLY}


def _entry(task: str, classes: dict[str, tuple[int, int] | None]) -> PublishedTask:
    paths = [f"{FAMILY}/{task}/{split}/{name}.csv.gz" for split in SPLITS for name in classes]
    counted = {name: several for name, several in classes.items() if several is not None}
    return PublishedTask(
        name=f"{FAMILY}/{task}",
        kind="binary" if len(classes) == 2 else "multiclass",
        metric="accuracy",
        config="genomic_benchmarks_long.yaml" if task in LONG else "genomic_benchmarks.yaml",
        counts={
            split: {name: several[number] for name, several in counted.items()}
            for number, split in enumerate(SPLITS)
            if counted
        },
        sources=tuple(Source(f"{REPOSITORY}{path.removeprefix(FAMILY)}", path) for path in paths),
        genomes={name: TASK_GENOMES.get(task, GENOMES.get(name, HUMAN)) for name in classes},
    )


ENTRIES = tuple(_entry(task, classes) for task, classes in TASKS.items())


def count_tables(directory: Path) -> Counter[tuple[str, str]]:
    """The rows of the package's tables by split and class."""
    tables = interval_tables(directory)
    return Counter({(table.parent.name, _class_of(table)): sum(1 for _ in read_rows(table, None)) for table in tables})


def interval_tables(directory: Path) -> list[Path]:
    """The package's tables {train,test}/CLASS.csv.gz, sorted; none where it holds something else."""
    return sorted(path for split in SPLITS for path in (directory / split).glob("*.csv*"))


def read_interval_tables(
    directory: Path, fasta: str | Mapping[str, str] | None, cache: Path, say: Say
) -> Iterator[Example]:
    """The package's tables, {train,test}/CLASS.csv.gz of id, region, start, end, strand (0-based, half-open).

    `fasta` is the genome, or that of each class. A region is a chromosome, or a transcript with or without its version.
    """
    tables = interval_tables(directory)
    if not tables:
        raise InputError(f"{directory} holds no tables such as train/positive.csv.gz; fetch the task first")
    classes = sorted({_class_of(table) for table in tables})
    for path, names in _genomes(fasta, classes, directory).items():
        genome = open_fasta(Path(path), cache, say)
        with FastaReader(genome) as reader:
            for table in tables:
                if _class_of(table) in names:
                    yield from _read_table(table, genome, reader)


def _class_of(table: Path) -> str:
    return table.name.partition(".csv")[0]


def _genomes(fasta: str | Mapping[str, str] | None, classes: list[str], directory: Path) -> dict[str, list[str]]:
    """The classes that each FASTA file holds."""
    by_class = dict.fromkeys(classes, fasta) if isinstance(fasta, str) else dict(fasta or {})
    missing = [name for name in classes if name not in by_class]
    if missing:
        raise InputError(f"{directory} holds intervals of {', '.join(missing)} and no bases; name data.fasta for each")
    return {path: [name for name in classes if by_class[name] == path] for path in dict.fromkeys(by_class.values())}


def _read_table(table: Path, genome: Fasta, reader: FastaReader) -> Iterator[Example]:
    lengths = {sequence.name: sequence.length for sequence in genome.scan.sequences}
    aliases = {alias: name for name in lengths for alias in (name.partition(".")[0], canonical(name), name)}
    for place, _, row in read_rows(table, None):
        try:
            region, start, end, strand = row["region"], int(row["start"]), int(row["end"]), row["strand"]
        except (KeyError, ValueError):
            raise InputError(f"{place}: {row} is not id, region, start, end, strand; fetch the table again") from None
        name = aliases.get(region, aliases.get(canonical(region)))
        if name is None:
            raise InputError(f"{place}: no sequence {region!r} in {genome.path}; is it another assembly?")
        try:
            interval = Interval(name, start, end)
            interval.check_within(lengths[name])
        except InputError as error:
            raise InputError(f"{place}: {error}; is {genome.path} another assembly?") from None
        tokens = read_bases(reader.bases(interval).decode("ascii"), place)
        tokens = reverse_complement(tokens) if strand == "-" else tokens
        yield Example(tokens, (_class_of(table),), place, interval, table.parent.name)
