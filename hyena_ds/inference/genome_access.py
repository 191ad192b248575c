"""A genome to read from here and there, for as long as it is needed."""

import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from hyena_ds.genome.fasta import FastaReader, open_fasta
from hyena_ds.genome.interval import Interval
from hyena_ds.genome.names import resolve
from hyena_ds.genome.progress import Progress


@dataclass(frozen=True)
class Genome:
    """The sequences of a FASTA file: their lengths in bases by name, and any stretch of them."""

    path: Path
    lengths: dict[str, int]
    reader: FastaReader

    def name(self, written: str) -> str:
        """The sequence that `written` means: itself or its only alias, as `20` of `chr20`."""
        return resolve(written, self.lengths)

    def bases(self, interval: Interval) -> bytes:
        """The characters of `interval`, soft-masking included; raises InputError where it ends beyond its sequence."""
        interval.check_within(self.lengths[interval.sequence])
        return self.reader.bases(interval)


@contextmanager
def open_genome(path: Path, cache: Path | None = None, *, progress: bool = False) -> Iterator[Genome]:
    """The genome of a FASTA file, plain or gzip.

    Its index, and a plain copy where it is compressed, are kept in `cache`; without one they go when the block ends.
    """
    with tempfile.TemporaryDirectory(prefix="hyena_ds-") as passing:
        size = path.stat().st_size if path.is_file() else 0
        with Progress(f"read {path.name}", size, "B", shown=progress) as bar:
            fasta = open_fasta(path, cache or Path(passing), _say if cache else _keep_silent, bar.advance)
        lengths = {sequence.name: sequence.length for sequence in fasta.scan.sequences}
        with FastaReader(fasta) as reader:
            yield Genome(path, lengths, reader)


def _say(line: str) -> None:
    print(line, file=sys.stderr)


def _keep_silent(_line: str) -> None:
    pass
