"""Random access to the bases of a shard directory: memory-mapped tar files, read by offset, checked on first touch."""

import bisect
import zlib
from pathlib import Path

import numpy as np

from hyena_ds.errors import InputError
from hyena_ds.genome.index import CRC_BLOCK_BYTES, Record, ShardIndex

_TAR_HEADER_BYTES, _TAR_NAME_BYTES = 512, 100


class _OpenSequence:
    """The records of one sequence and, for each, which CRC blocks this process has checked."""

    def __init__(self, records: tuple[Record, ...]) -> None:
        self.records = records
        self.starts = [record.start for record in records]
        self.unchecked = [bytearray(b"\1" * len(record.crc32)) for record in records]


class ShardReader:
    """Reads any stretch of any sequence of a shard directory.

    Opening compares each shard's size, and the name of its first record, with the index. A 64 KiB block is compared
    with its CRC-32 when this process first touches it. Both raise InputError with the shard and the remedy.
    Safe to use from several threads.
    """

    def __init__(self, directory: Path, index: ShardIndex) -> None:
        self.directory = directory
        self.index = index
        self._sequences = [_OpenSequence(sequence.records) for sequence in index.sequences]
        self._shards: dict[int, np.ndarray] = {}
        for number in range(len(index.shards)):
            self._check_size(number)
        for number, record in self._first_records().items():
            self._check_name(number, record)

    def read(self, sequence: int, start: int, end: int) -> np.ndarray:
        """Bases [start, end) of a sequence, 0-based, as upper-case ASCII, uint8 [end - start]; read-only or a copy.

        Raises InputError where a block's checksum is wrong, ValueError outside the sequence.
        """
        if not 0 <= start < end <= self.index.sequences[sequence].length:
            raise ValueError(f"[{start}, {end}) is not inside {self.index.sequences[sequence].name}")
        opened = self._sequences[sequence]
        first = bisect.bisect_right(opened.starts, start) - 1
        record = opened.records[first]
        if end <= record.start + record.length:
            return self._read_record(opened, first, start, end)
        last = bisect.bisect_left(opened.starts, end)
        return np.concatenate([self._read_record(opened, number, start, end) for number in range(first, last)])

    def _read_record(self, opened: _OpenSequence, number: int, start: int, end: int) -> np.ndarray:
        """The part of [start, end) that lies in one record."""
        record = opened.records[number]
        begin, stop = max(start - record.start, 0), min(end - record.start, record.length)
        shard = self._shard(record.shard)
        unchecked = opened.unchecked[number]
        last = (stop - 1) // CRC_BLOCK_BYTES
        block = unchecked.find(1, begin // CRC_BLOCK_BYTES, last + 1)
        while block >= 0:
            self._check_block(shard, record, block)
            unchecked[block] = 0
            block = unchecked.find(1, block, last + 1)
        return shard[record.offset + begin : record.offset + stop]

    def _shard(self, number: int) -> np.ndarray:
        if number not in self._shards:
            self._shards[number] = np.asarray(np.memmap(self._path(number), dtype=np.uint8, mode="r"))
        return self._shards[number]

    def _path(self, number: int) -> Path:
        return self.directory / self.index.shards[number].name

    def _check_size(self, number: int) -> None:
        path, expected = self._path(number), self.index.shards[number].bytes
        if not path.is_file():
            raise InputError(f"no shard {path}, which index.json lists; {self._remedy()}")
        found = path.stat().st_size
        if found != expected:
            raise InputError(f"shard {path} has {found:,} bytes where index.json says {expected:,}; {self._remedy()}")

    def _first_records(self) -> dict[int, Record]:
        first: dict[int, Record] = {}
        for record in (record for sequence in self.index.sequences for record in sequence.records):
            if record.shard not in first or record.offset < first[record.shard].offset:
                first[record.shard] = record
        return first

    def _check_name(self, number: int, record: Record) -> None:
        """An index of another directory may list shards of the same size; their record names differ."""
        with self._path(number).open("rb") as file:
            file.seek(max(record.offset - _TAR_HEADER_BYTES, 0))
            name = file.read(_TAR_NAME_BYTES).split(b"\0")[0]
        if name != f"{record.key}.seq".encode():
            raise InputError(
                f"shard {self._path(number)} does not hold record {record.key} where index.json says: "
                f"the index belongs to another directory or the shard is damaged; {self._remedy()}"
            )

    def _check_block(self, shard: np.ndarray, record: Record, block: int) -> None:
        begin = record.offset + block * CRC_BLOCK_BYTES
        stop = min(begin + CRC_BLOCK_BYTES, record.offset + record.length)
        if zlib.crc32(shard[begin:stop].data) != record.crc32[block]:
            raise InputError(
                f"shard {self._path(record.shard)}, record {record.key}, block {block}: the checksum is wrong; "
                f"{self._remedy()}"
            )

    def _remedy(self) -> str:
        return f"check it with: python -m preprocessing.verify {self.directory}"
