"""One streaming pass over the bytes of a FASTA file: what is in it, and whether it can be trusted.

pyfaidx alone accepts protein, NUL bytes, spaces and files with CR line ends only, and takes GiBs for one long
line; this pass refuses what would fail silently and holds one block at a time.
"""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np

from hyena_ds.errors import InputError
from hyena_ds.genome.alphabet import AMBIGUITY_CODES

BLOCK_BYTES = 4 * 2**20
NEWLINE, RETURN, HEADER = ord("\n"), ord("\r"), ord(">")
PROTEIN_LETTERS = b"EFILPQZXJOefilpqzxjo*"
NUCLEOTIDES = b"ACGTN" + AMBIGUITY_CODES.encode().replace(b"N", b"")


def _allowed() -> np.ndarray:
    table = np.zeros(256, dtype=bool)
    table[list(NUCLEOTIDES + NUCLEOTIDES.lower() + b"\r\n")] = True
    return table


_ALLOWED = _allowed()


@dataclass(frozen=True)
class ScannedSequence:
    """One record: `length` bases on lines of `line_bases` bases and `line_width` bytes, from byte `offset`."""

    name: str
    length: int
    offset: int
    line_bases: int
    line_width: int


@dataclass(frozen=True)
class FastaScan:
    """What a whole file holds; `ambiguous` counts the letters that become N, `composition` counts after that."""

    sha256: str
    sequences: tuple[ScannedSequence, ...]
    composition: dict[str, int]
    soft_masked: int
    ambiguous: dict[str, int]

    @property
    def bases(self) -> int:
        return sum(sequence.length for sequence in self.sequences)


@dataclass
class _OpenRecord:
    name: str
    offset: int
    line_start: int
    length: int = 0
    line_bases: int = 0
    line_width: int = 0
    ended: bool = False  # a short or blank line came: only blank lines may follow


@dataclass
class FastaScanner:
    """Feed it the bytes of `place` in blocks of any size, then ask for the `result`."""

    place: str
    position: int = 0
    lines: int = 0
    counts: np.ndarray = field(default_factory=lambda: np.zeros(256, dtype=np.int64))
    _digest: "hashlib._Hash" = field(default_factory=hashlib.sha256)
    _header: bytearray | None = None
    _record: _OpenRecord | None = None
    _last: int = NEWLINE
    _finished: list[ScannedSequence] = field(default_factory=list)
    _names: set[str] = field(default_factory=set)

    def feed(self, block: bytes) -> None:
        """Take the next `block`; raises InputError with the position of what cannot be used."""
        self._digest.update(block)
        values = np.frombuffer(block, dtype=np.uint8)
        cursor = 0
        for start in self._header_starts(values):
            self._take(block, values, cursor, start)
            self._open_header()
            cursor = start
        self._take(block, values, cursor, len(block))

    def result(self) -> FastaScan:
        """The scan of all that was fed; raises InputError where the file as a whole is no genome."""
        if self.position == 0:
            raise InputError(f"{self.place} is empty; give a FASTA file with at least one sequence")
        if self._header is not None:
            self._close_header()
        if self._last == RETURN:
            raise self._lone_return(self.lines + 1)
        self._close_record()
        if not self._finished:
            raise InputError(f"{self.place} holds no FASTA record; the first line must begin with '>'")
        return FastaScan(
            self._digest.hexdigest(), tuple(self._finished), self._composition(), self._soft_masked(), self._ambiguous()
        )

    def _header_starts(self, values: np.ndarray) -> list[int]:
        marks = np.flatnonzero(values == HEADER)
        before = np.where(marks > 0, values[marks - 1], self._last)
        return [int(mark) for mark in marks[before == NEWLINE]]

    def _take(self, block: bytes, values: np.ndarray, start: int, end: int) -> None:
        if self._header is not None and start < end:
            newline = block.find(b"\n", start, end)
            stop = end if newline < 0 else newline + 1
            self._header += block[start:stop]
            self._advance(values, start, stop)
            if newline >= 0:
                self.lines += 1
                self._close_header()
            start = stop
        if start < end:
            self._take_bases(values[start:end])
            self._advance(values, start, end)

    def _advance(self, values: np.ndarray, start: int, end: int) -> None:
        self.position += end - start
        self._last = int(values[end - 1])

    def _open_header(self) -> None:
        self._close_record()
        self._header = bytearray()

    def _close_header(self) -> None:
        text = bytes(self._header or b"").removesuffix(b"\n").removesuffix(b"\r")
        if b"\r" in text:
            raise self._lone_return(max(self.lines, 1))
        place = f"{self.place} line {self.lines:,}"
        if b"\0" in text:
            raise InputError(f"{place}: NUL byte in a header; the file is damaged, fetch it again")
        words = text[1:].decode("utf-8", errors="replace").split()
        if not words or text[1:2].isspace():
            raise InputError(f"{place}: a header without a name; write >name")
        if words[0] in self._names:
            raise InputError(f"{place}: sequence {words[0]!r} stands twice; rename or remove one")
        self._names.add(words[0])
        self._header = None
        self._record = _OpenRecord(words[0], self.position, self.position)

    def _close_record(self) -> None:
        record, self._record = self._record, None
        if record is None:
            return
        if record.length == 0:
            raise InputError(f"{self.place}: sequence {record.name!r} is empty; remove it or fetch the file again")
        if self._last != NEWLINE:
            self._check_lines(record, np.array([self.position - record.line_start]), np.zeros(1, dtype=np.int64))
        self._finished.append(
            ScannedSequence(record.name, record.length, record.offset, record.line_bases, record.line_width)
        )

    def _take_bases(self, values: np.ndarray) -> None:
        counts = np.bincount(values, minlength=256)
        if counts[~_ALLOWED].any():
            raise self._forbidden(values)
        if counts[RETURN] or self._last == RETURN:
            self._check_returns(values)
        bases = len(values) - int(counts[NEWLINE]) - int(counts[RETURN])
        record = self._record
        if record is None:
            if bases:
                raise InputError(f"{self.place} is not FASTA: the first line must begin with '>'")
            self.lines += int(counts[NEWLINE])
            return
        self._take_lines(record, values)
        record.length += bases
        self.counts += counts

    def _take_lines(self, record: _OpenRecord, values: np.ndarray) -> None:
        newlines = np.flatnonzero(values == NEWLINE)
        if not len(newlines):
            return
        ends = newlines + self.position + 1
        starts = np.concatenate(([record.line_start], ends[:-1]))
        before = np.where(newlines > 0, values[newlines - 1], self._last)
        self._check_lines(record, ends - starts, 1 + (before == RETURN))
        record.line_start = int(ends[-1])
        self.lines += len(newlines)

    def _check_lines(self, record: _OpenRecord, widths: np.ndarray, end_bytes: np.ndarray) -> None:
        """All lines of a record but the last are equally long: the .fai arithmetic rests on it."""
        bases = widths - end_bytes
        if record.line_width == 0:
            record.line_bases, record.line_width = int(bases[0]), int(widths[0])
        short = np.flatnonzero((bases != record.line_bases) | (widths != record.line_width))
        tail = bases if record.ended else bases[short[0] :] if len(short) else bases[:0]
        longer = len(tail) and not record.ended and tail[0] > record.line_bases
        if longer or (tail if record.ended else tail[1:]).any():
            raise InputError(
                f"{self.place}: the lines of {record.name!r} differ in length near line {self.lines + 1:,}, "
                "so no index can be made; rewrap it, for example with: seqkit seq -w 60"
            )
        record.ended = record.ended or bool(len(short))

    def _check_returns(self, values: np.ndarray) -> None:
        returns = np.flatnonzero(values == RETURN)
        followed = returns[returns + 1 < len(values)] + 1
        lone = (values[followed] != NEWLINE).any() or (self._last == RETURN and values[0] != NEWLINE)
        if lone:
            raise self._lone_return(self.lines + 1)

    def _lone_return(self, line: int) -> InputError:
        return InputError(
            f"{self.place} line {line:,}: CR without LF as line end; convert it, for example with: tr '\\r' '\\n'"
        )

    def _forbidden(self, values: np.ndarray) -> InputError:
        index = int(np.flatnonzero(~_ALLOWED[values])[0])
        before = np.bincount(values[:index], minlength=256)
        value, line = int(values[index]), self.lines + int(before[NEWLINE]) + 1
        if self._record is None:
            return InputError(f"{self.place} is not FASTA: the first line must begin with '>'")
        base = self._record.length + index - int(before[NEWLINE] + before[RETURN]) + 1
        where = f"{self.place} line {line:,}: {self._record.name!r} base {base:,}"
        if value == 0:
            return InputError(f"{where} is a NUL byte; the file is damaged, fetch it again")
        if value in PROTEIN_LETTERS:
            return InputError(f"{where} is {chr(value)!r}: this is protein, not DNA; give a nucleotide FASTA")
        shown = repr(chr(value)) if 32 <= value < 127 else f"byte 0x{value:02x}"
        return InputError(f"{where} is {shown}, no IUPAC nucleotide code; remove it or write N")

    def _both_cases(self, letter: str) -> int:
        return int(self.counts[ord(letter)] + self.counts[ord(letter.lower())])

    def _composition(self) -> dict[str, int]:
        known = {letter: self._both_cases(letter) for letter in "ACGT"}
        return known | {"N": self._both_cases("N") + sum(self._ambiguous().values())}

    def _soft_masked(self) -> int:
        return int(self.counts[ord("a") : ord("z") + 1].sum())

    def _ambiguous(self) -> dict[str, int]:
        counts = {letter: self._both_cases(letter) for letter in AMBIGUITY_CODES if letter != "N"}
        return {letter: count for letter, count in counts.items() if count}


def scan_blocks(blocks: Iterable[bytes], place: str) -> FastaScan:
    """The scan of a file that arrives in `blocks`; `place` names it in errors."""
    scanner = FastaScanner(place)
    for block in blocks:
        scanner.feed(block)
    return scanner.result()
