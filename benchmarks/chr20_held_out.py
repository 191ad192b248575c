"""Pretrain on human chr20 without what benchmarks/downstream.py tests on: the last 10 %, and every test sequence.

`python benchmarks/chr20_held_out.py --data ../shared/data --place /tmp/held_out`: trains for at most --minutes. Exit
code 75 says that everything is saved and the same command goes on. The model is then the run directory PLACE/run.
"""

import argparse
import json
import subprocess
import sys
from pathlib import Path

import pandas as pd

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from benchmarks.chr20_long import train
from benchmarks.downstream import SEEDS
from benchmarks.downstream_tasks import CHR20, SPLICE_BASES, TASKS, TEST_START, WITHOUT_PLACES, write_table
from benchmarks.held_out import write_digests, write_intervals
from benchmarks.machine import describe_machine
from hyena_ds.errors import EXIT_DONE
from hyena_ds.genome.fasta import open_fasta
from hyena_ds.genome.index import INDEX_NAME
from hyena_ds.training.metrics import read_metrics

VALID_SHARE = 0.02  # of the stretch before the end, the last part


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="such as ../shared/data")
    parser.add_argument("--place", type=Path, required=True, help="where tables, shards and run lie between two calls")
    parser.add_argument("--minutes", type=float, default=7.0, help="of training, after which it is saved and stopped")
    parser.add_argument("--config", default="benchmarks/chr20_held_out.yaml", help="by default %(default)s")
    parser.add_argument("--output", type=Path, default=ROOT / "benchmarks" / "results", help="where the JSON goes")
    parser.add_argument("--commit", help="commit of this tree, where it has no repository")
    parser.add_argument("overrides", nargs="*", metavar="section.key=value", help="values for --config")
    return parser.parse_args()


def test_sequences(data: Path, place: Path) -> list[str]:
    """The test sequences, which are the same for every seed, each once."""
    tables = [write_table(TASKS[name], data, place, SEEDS[0]) for name in WITHOUT_PLACES]
    frames = [pd.read_parquet(table, filters=[("split", "==", "test")]) for table in tables]
    return sorted(set(pd.concat(frames)["sequence"]))


def shard(data: Path, place: Path) -> None:
    """Shards of the intervals, cut into windows that reach beyond none of them."""
    command = [sys.executable, "-m", "preprocessing.shard", "--fasta", str(data / CHR20), "--species", "human"]
    command += ["--bed", str(place / "intervals.bed"), "--policy", "tile", "--output", str(place / "shards")]
    subprocess.run([*command, "--length", "1024", "--overwrite"], cwd=ROOT, check=True)


def main() -> int:
    arguments = parse_arguments()
    data, place = arguments.data.resolve(), arguments.place.resolve()
    record = place / "held_out.json"
    if not (place / "shards" / INDEX_NAME).exists():
        place.mkdir(parents=True, exist_ok=True)
        fasta, sequences = open_fasta(data / CHR20, place / ".fasta_cache", print), test_sequences(data, place)
        held_out = write_intervals(place / "intervals.bed", fasta, TEST_START - SPLICE_BASES, sequences, VALID_SHARE)
        record.write_text(json.dumps(held_out), encoding="utf-8")
        write_digests(place, sequences)
        shard(data, place)
    code = train(place, arguments.minutes, arguments.overrides, arguments.config)
    if code != EXIT_DONE:
        return code
    lines = read_metrics(place / "run")
    scored = [line for line in lines if "validation_perplexity" in line]
    result = {
        "held_out": json.loads(record.read_text(encoding="utf-8")),
        "tokens": [line["tokens"] for line in lines if "tokens" in line][-1],
        "validation_perplexity": scored[-1]["validation_perplexity"],
        "overrides": arguments.overrides,
        "machine": describe_machine(arguments.commit),
    }
    arguments.output.mkdir(parents=True, exist_ok=True)
    (arguments.output / "chr20_held_out.json").write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    print(f"done: {place / 'run'}, perplexity {result['validation_perplexity']:.4f}")
    return EXIT_DONE


if __name__ == "__main__":
    sys.exit(main())
