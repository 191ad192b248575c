"""What sharding a genome and verifying its shards take: python benchmarks/sharding.py --fasta genome.fa.gz

Each command runs --repeats times as a user starts it, sharding from nothing, so that a gzip file gets its plain copy
each time. What a human genome takes follows by its bases; the start of a command, the time that a genome of a few bases
takes, is counted once.
"""

import argparse
import gzip
import json
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from benchmarks.machine import describe_machine
from hyena_ds.downstream.results import write_json
from hyena_ds.errors import InputError, run_command
from hyena_ds.genome.fasta import is_gzip
from hyena_ds.genome.index import read_index

HUMAN_BASES = 3.1e9
MIB = 2**20
# A small process starts each command, since the peak of the memory of its parent counts as a new process's own.
METER = """
import json, resource, subprocess, sys, time
started = time.perf_counter()
code = subprocess.run(sys.argv[1:], stdout=subprocess.DEVNULL).returncode
seconds = time.perf_counter() - started
print(json.dumps([code, seconds, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024]))
"""


def measure(module: str, *arguments: str) -> tuple[float, float]:
    """Seconds of a command, and the most memory that it held, MiB."""
    command = [sys.executable, "-c", METER, sys.executable, "-m", module, *arguments]
    found = subprocess.run(command, stdout=subprocess.PIPE, text=True, cwd=ROOT, check=True)
    code, seconds, peak = json.loads(found.stdout)
    if code:
        raise InputError(f"{module} ended with exit code {code}; see the line above")
    return seconds, peak


def shard(fasta: Path, place: Path) -> tuple[float, float]:
    """Shards of a genome in place/shards, from nothing."""
    shutil.rmtree(place, ignore_errors=True)
    given = ["--fasta", str(fasta), "--output", str(place / "shards"), "--length", "1024"]
    return measure("preprocessing.shard", *given, "--split-fractions", "0.9,0.0,0.1")


def verify(place: Path) -> tuple[float, float]:
    return measure("preprocessing.verify", str(place / "shards"))


def write_masked(fasta: Path, path: Path) -> None:
    """The sequences with four lines in eight in lower case."""
    with (gzip.open if is_gzip(fasta) else open)(fasta, "rt") as lines, path.open("w") as masked:
        for number, line in enumerate(lines):
            masked.write(line.lower() if not line.startswith(">") and number // 4 % 2 else line)


def mebibytes(directory: Path) -> float:
    """Of all files below it."""
    return sum(path.stat().st_size for path in directory.rglob("*") if path.is_file()) / MIB


def summary(runs: Sequence[tuple[float, float]]) -> dict[str, Any]:
    seconds = [one for one, _ in runs]
    return {
        "seconds": statistics.median(seconds),
        "all_seconds": [round(one, 2) for one in seconds],
        "peak_mebibytes": max(peak for _, peak in runs),
    }


def run(fasta: Path, folder: Path, repeats: int) -> dict[str, Any]:
    """Seconds, memory and disk of each command."""
    few, whole, masked = (folder / name for name in ("few", "whole", "masked"))
    (folder / "few.fa").write_text(">few\n" + "ACGT" * 1024 + "\n", encoding="ascii")
    write_masked(fasta, folder / "masked.fa")
    commands = {
        "start_shard": [shard(folder / "few.fa", few) for _ in range(repeats)],
        "start_verify": [verify(few) for _ in range(repeats)],
        "shard": [shard(fasta, whole) for _ in range(repeats)],
        "verify": [verify(whole) for _ in range(repeats)],
    }
    shard(folder / "masked.fa", masked)
    sizes = {"shards": whole / "shards", "shards_masked": masked / "shards", "plain_copy": whole / ".fasta_cache"}
    return {
        "source": fasta.name,
        "bases": sum(sequence.length for sequence in read_index(whole / "shards").sequences),
        "commands": {name: summary(runs) for name, runs in commands.items()},
        "mebibytes": {name: mebibytes(directory) for name, directory in sizes.items()},
        "machine": describe_machine(),
    }


def print_table(result: dict[str, Any]) -> None:
    """In the units of docs/data-format.md."""
    factor, commands = HUMAN_BASES / result["bases"], result["commands"]
    print(f"{result['source']}, {result['bases']:,} bases; by proportion {HUMAN_BASES / 1e9} billion")
    for name in ("shard", "verify"):
        found, start = commands[name], commands[f"start_{name}"]
        human = start["seconds"] + (found["seconds"] - start["seconds"]) * factor
        spread = f"{min(found['all_seconds'])} to {max(found['all_seconds'])}, start {start['seconds']:.1f}"
        print(f"{name:14} {found['seconds']:6.1f} s ({spread}) {human:6.0f} s", end=" ")
        print(f"peak {found['peak_mebibytes']:.0f} MiB (start {start['peak_mebibytes']:.0f})")
    for name, size in result["mebibytes"].items():
        print(f"{name:14} {size:6.1f} MiB {size * factor / 1024:6.1f} GiB")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--fasta", type=Path, required=True, help="plain or gzip")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--output", type=Path, default=ROOT / "benchmarks" / "results" / "sharding.json")
    options = parser.parse_args()
    if not options.fasta.is_file():
        raise InputError(f"--fasta {options.fasta} is no file; give a genome, plain or gzip")
    with tempfile.TemporaryDirectory() as folder:
        result = run(options.fasta.resolve(), Path(folder), options.repeats)
    print_table(result)
    options.output.parent.mkdir(parents=True, exist_ok=True)
    write_json(options.output, result)
    print(f"written to {options.output}")
    return 0


if __name__ == "__main__":
    run_command(main)
