"""Tokens a second that one process reads in random order: python benchmarks/data_loading.py --fasta genome.fa.gz

Shards the genome into a temporary directory (or reads --shards), then times `BatchReader.read`: sample numbers to
assembled uint8 tokens [n, L + 1] on one core, with and without reverse complement. The first epoch also compares
every 64 KiB block with its CRC; the second does not. Each figure is the median of --repeats fresh readers.
"""

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from hyena_ds.data.batch import BatchReader
from hyena_ds.data.config import DataConfig
from hyena_ds.data.shards import ShardReader
from hyena_ds.data.stream import open_stream
from hyena_ds.errors import InputError, run_command
from hyena_ds.genome.index import ShardIndex, read_index

LENGTHS = (1_024, 4_096, 32_768, 131_072, 1_000_000)
TOKENS_PER_BATCH = 2**20
HEADER = (
    f"{'length (b)':>11} {'strands':>8} {'epoch 1 (M/s)':>14} {'epoch 2 (M/s)':>14} {'need (M/s)':>10} {'enough':>7}"
)
RESULTS = Path(__file__).parent / "results" / "data_loading.json"


def required_rate(length: int) -> float:
    """Tokens a second that issue 2 asks of one process on one core, for windows of `length` bases."""
    return 100e6 if length >= 32_768 else 20e6


def shard(fasta: Path, output: Path) -> None:
    command = [sys.executable, "-m", "preprocessing.shard", "--fasta", str(fasta), "--output", str(output)]
    command += ["--split-fractions", "1,0,0"]
    if subprocess.run(command, check=False).returncode:
        raise InputError(f"{fasta} could not be sharded; see the line above")


def epoch_rate(reader: BatchReader, epoch: int) -> float:
    """Tokens a second over one whole epoch, read in batches of about TOKENS_PER_BATCH tokens."""
    windows = reader.stream.pools[0]
    rows = max(1, TOKENS_PER_BATCH // windows.length)
    tokens = 0
    started = time.perf_counter()
    for first in range(epoch * len(windows), (epoch + 1) * len(windows), rows):
        last = min(first + rows, (epoch + 1) * len(windows))
        tokens += reader.read(np.arange(first, last)).size
    return tokens / (time.perf_counter() - started)


def measure(directory: Path, index: ShardIndex, length: int, reverse_complement: bool, repeats: int) -> dict[str, Any]:
    """The rates of the first and the second epoch, tokens a second."""
    config = DataConfig(directory=str(directory), reverse_complement=reverse_complement)
    first, second = [], []
    for _ in range(repeats):
        stream = open_stream(index, config, length=length, seed=0, stage=0)
        reader = BatchReader(ShardReader(directory, index), stream)
        first.append(epoch_rate(reader, 0))
        second.append(epoch_rate(reader, 1))
    return {
        "length": length,
        "reverse_complement": reverse_complement,
        "windows": len(stream.pools[0]),
        "first_epoch_tokens_per_second": statistics.median(first),
        "second_epoch_tokens_per_second": statistics.median(second),
        "required_tokens_per_second": required_rate(length),
    }


def processor() -> str:
    lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines() if Path("/proc/cpuinfo").exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or "unknown"


def machine() -> dict[str, Any]:
    return {
        "processor": processor(),
        "cores_used": 1,
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "numpy": np.__version__,
    }


def print_row(row: dict[str, Any]) -> None:
    first, second = row["first_epoch_tokens_per_second"], row["second_epoch_tokens_per_second"]
    strands = "both" if row["reverse_complement"] else "forward"
    enough = "yes" if min(first, second) >= row["required_tokens_per_second"] else "NO"
    required = row["required_tokens_per_second"] / 1e6
    print(
        f"{row['length']:>11,} {strands:>8} {first / 1e6:>14,.0f} {second / 1e6:>14,.0f} {required:>10,.0f} {enough:>7}"
    )


def run(directory: Path, source: str, repeats: int, output: Path) -> int:
    """Measure, print and write every row; 1 where one is too slow."""
    index = read_index(directory)
    print(HEADER)
    rows = []
    for length in LENGTHS:
        for reverse_complement in (False, True):
            rows.append(measure(directory, index, length, reverse_complement, repeats))
            print_row(rows[-1])
    report = {
        "command": "python benchmarks/data_loading.py",
        "source": source,
        "bases": index.bases("train"),
        "repeats": repeats,
        "machine": machine(),
        "rows": rows,
    }
    output.parent.mkdir(parents=True, exist_ok=True)
    output.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    print(f"written to {output}")
    slow = [
        row
        for row in rows
        if min(row["first_epoch_tokens_per_second"], row["second_epoch_tokens_per_second"])
        < row["required_tokens_per_second"]
    ]
    return 1 if slow else 0


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    given = parser.add_mutually_exclusive_group(required=True)
    given.add_argument("--fasta", type=Path, help="a genome to shard first")
    given.add_argument("--shards", type=Path, help="a shard directory that is there already")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--output", type=Path, default=RESULTS)
    options = parser.parse_args()
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    if options.shards:
        return run(options.shards, options.shards.name, options.repeats, options.output)
    with tempfile.TemporaryDirectory() as folder:
        shard(options.fasta, Path(folder) / "shards")
        return run(Path(folder) / "shards", options.fasta.name, options.repeats, options.output)


if __name__ == "__main__":
    run_command(main)
