"""Indexed access to FASTA files, plain or compressed, through pyfaidx and an index of our own making."""

import gzip
import hashlib
import os
import zlib
from collections.abc import Callable, Generator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

import pyfaidx

from hyena_ds.errors import FULL_STORAGE, InputError
from hyena_ds.genome.interval import Interval
from hyena_ds.genome.scan import BLOCK_BYTES, FastaScan, scan_blocks

GZIP_MAGIC = b"\x1f\x8b"
COMPRESSED_SUFFIXES = (".gz", ".bgz")
FASTA_SUFFIXES = (".fa", ".fasta", ".fna", ".ffn", ".fas")

Say = Callable[[str], None]
Advance = Callable[[int], None]
Blocks = Generator[bytes, None, None]


@dataclass(frozen=True)
class Fasta:
    """A scanned FASTA file: `plain` holds its uncompressed bytes, `index` the .fai that this project wrote."""

    path: Path
    plain: Path
    index: Path
    scan: FastaScan


def is_gzip(path: Path) -> bool:
    """Whether the file begins as gzip (bgzip is gzip too), whatever its name says."""
    with path.open("rb") as file:
        return file.read(2) == GZIP_MAGIC


def bare_name(path: Path) -> str:
    """The file name without its FASTA and compression suffixes: `hg38.fa.gz` is `hg38`."""
    name = path.name
    for suffix in COMPRESSED_SUFFIXES:
        name = name.removesuffix(suffix)
    for suffix in FASTA_SUFFIXES:
        name = name.removesuffix(suffix)
    return name


def _blocks(path: Path, advance: Advance) -> Blocks:
    with path.open("rb") as file:
        while block := file.read(BLOCK_BYTES):
            advance(len(block))
            yield block


def _decompressed(path: Path, advance: Advance) -> Blocks:
    position = 0
    try:
        with path.open("rb") as compressed, gzip.GzipFile(fileobj=compressed) as file:
            while block := file.read(BLOCK_BYTES):
                before, position = position, compressed.tell()
                advance(position - before)
                yield block
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise InputError(f"{path} is damaged gzip ({error}); fetch it again") from None


def _copied(blocks: Blocks, target: Path) -> Blocks:
    """Pass `blocks` on while writing them to `target`."""
    with target.open("wb") as file:
        for block in blocks:
            file.write(block)
            yield block


def _aside(target: Path) -> Path:
    """Where this process writes what becomes `target` once it is whole."""
    return target.with_name(f"{target.name}.{os.getpid()}")


def _cache_key(path: Path) -> str:
    state = path.stat()
    identity = f"{path.resolve()}\n{state.st_size}\n{state.st_mtime_ns}"
    return f"{bare_name(path)}-{hashlib.sha256(identity.encode()).hexdigest()[:16]}"


def index_text(scan: FastaScan) -> str:
    """The .fai of a scanned file: name, bases, offset, bases a line, bytes a line."""
    rows = (
        f"{sequence.name}\t{sequence.length}\t{sequence.offset}\t{sequence.line_bases}\t{sequence.line_width}\n"
        for sequence in scan.sequences
    )
    return "".join(rows)


def _check_given_index(path: Path, index: Path, say: Say) -> None:
    given = path.with_name(path.name + ".fai")
    if not given.is_file() or given.read_text(errors="replace").split() == index.read_text(encoding="utf-8").split():
        return
    say(f"{given} does not describe {path.name}; it is left alone and {index} is used instead")


def _check_readable(path: Path) -> None:
    if not path.is_file():
        raise InputError(f"no FASTA file at {path}")
    try:
        with path.open("rb") as file:
            empty = not file.read(1)
    except PermissionError:
        raise InputError(f"{path} cannot be read; check its permissions") from None
    if path.suffix in COMPRESSED_SUFFIXES and not empty and not is_gzip(path):
        raise InputError(f"{path} is named {path.suffix} but is not gzip; rename it or fetch it again")
    if empty:
        raise InputError(f"{path} is empty; give a FASTA file with at least one sequence")


def _is_damaged(plain: Path, scan: FastaScan) -> bool:
    """Whether a cached copy is no longer what its index, written when the copy was made, describes."""
    index = plain.with_suffix(".fai")
    return not index.is_file() or index.read_text(encoding="utf-8") != index_text(scan)


def _write_whole(text: str, target: Path) -> None:
    _aside(target).write_text(text, encoding="utf-8")
    _aside(target).replace(target)


def _scan_and_copy(path: Path, plain: Path, index: Path, advance: Advance) -> FastaScan:
    """Scan a compressed file. Its copy appears behind its index: who finds the one finds what it is held against."""
    aside = _aside(plain)
    try:
        with closing(_copied(_decompressed(path, advance), aside)) as blocks:
            scan = scan_blocks(blocks, str(path))
        _write_whole(index_text(scan), index)
        aside.replace(plain)
    finally:
        aside.unlink(missing_ok=True)
    return scan


def open_fasta(path: Path, cache: Path, say: Say, advance: Advance = lambda amount: None) -> Fasta:
    """Scan the FASTA file at `path` and index it in the `cache` directory; nothing is written beside `path`.

    gzip and bgzip files get a decompressed copy in `cache`, found again while path, size and time stay the same.
    `say` takes one line for each thing the user should know, `advance` the bytes of `path` as they are read. Raises
    InputError where the file cannot be used.
    """
    _check_readable(path)
    try:
        cache.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        if error.errno in FULL_STORAGE:
            raise
        raise InputError(f"cache {cache} cannot be made ({error.strerror}); choose another with --cache") from None
    index = cache / f"{_cache_key(path)}.fai"
    plain = index.with_suffix(".fa") if is_gzip(path) else path
    if plain.exists():
        with closing(_blocks(plain, advance if plain == path else lambda amount: None)) as blocks:
            scan = scan_blocks(blocks, str(path))
        if plain != path and _is_damaged(plain, scan):
            say(f"{plain} is not the copy that was made of {path.name}; it is made again")
            plain.unlink()
            return open_fasta(path, cache, say, advance)
        _write_whole(index_text(scan), index)
    else:
        scan = _scan_and_copy(path, plain, index, advance)
        say(f"{path.name} is compressed: a plain copy is kept at {plain}; delete it when it is read no more")
    _check_given_index(path, index, say)
    return Fasta(path, plain, index, scan)


class FastaReader:
    """Random access to the bases of a scanned file; use it in a `with` statement."""

    def __init__(self, fasta: Fasta) -> None:
        self._faidx = pyfaidx.Faidx(
            str(fasta.plain), indexname=str(fasta.index), as_raw=True, build_index=False, strict_bounds=True
        )

    def __enter__(self) -> "FastaReader":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._faidx.close()

    def bases(self, interval: Interval) -> bytes:
        """The characters of `interval` as the file writes them, soft-masking and ambiguity codes included."""
        text: str = self._faidx.fetch(interval.sequence, interval.start + 1, interval.end)
        return text.encode("ascii")
