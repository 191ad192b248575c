"""Pretrain the 8-layer, 256-wide model on 90 % of human chr20 through five lengths, score the last 10 % by context.

`python benchmarks/chr20_long.py --fasta chr20.fa.gz --place /tmp/chr20_long`: trains for at most --minutes. Exit code
75 says that everything is saved and the same command goes on from there; after the last step the model is scored at
every context length, and the result written.
"""

import argparse
import json
import signal
import subprocess
import sys
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")
from matplotlib import pyplot

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from benchmarks.chr20 import MARKOV_PERPLEXITY, shard
from benchmarks.machine import describe_machine
from hyena_ds.api import HyenaDNA
from hyena_ds.errors import EXIT_DONE, EXIT_RESTART
from hyena_ds.genome.index import INDEX_NAME, read_index
from hyena_ds.genome.interval import Interval
from hyena_ds.training.metrics import read_metrics

CONTEXTS = [2**power for power in range(10, 18)]
# What the 1,024-base model of benchmarks/chr20.py reaches on the same bases.
SHORT_RESULT = ROOT / "benchmarks" / "results" / "chr20.json"
SAVING_SECONDS = 90


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--fasta", type=Path, required=True, help="human chromosome 20, plain or gzip")
    parser.add_argument("--place", type=Path, required=True, help="where shards and run lie between two calls")
    parser.add_argument("--minutes", type=float, default=8.5, help="of training, after which it is saved and stopped")
    parser.add_argument("--contexts", type=int, nargs="+", default=CONTEXTS, help="lengths to score at")
    parser.add_argument("--output", type=Path, default=ROOT / "benchmarks" / "results", help="where JSON and PNG go")
    parser.add_argument("--commit", help="commit of this tree, where it has no repository")
    parser.add_argument("overrides", nargs="*", metavar="section.key=value", help="values for chr20_long.yaml")
    return parser.parse_args()


def train(place: Path, minutes: float, overrides: list[str], config: str = "benchmarks/chr20_long.yaml") -> int:
    """Start or go on; returns the exit code of launch/pretrain.py, 75 where it was stopped."""
    command = [sys.executable, "launch/pretrain.py", "--config", config]
    command += [f"run_directory={place / 'run'}", f"data.directory={place / 'shards'}", *overrides]
    process = subprocess.Popen(command, cwd=ROOT)
    try:
        process.wait(minutes * 60)
    except subprocess.TimeoutExpired:
        process.send_signal(signal.SIGTERM)
    try:
        code = process.wait(SAVING_SECONDS)
    finally:
        process.kill()  # where it does not end by itself
    if code == EXIT_RESTART:
        print("everything is saved: give the same command again to go on")
    return code


def score(place: Path, fasta: Path, contexts: Sequence[int]) -> list[dict[str, Any]]:
    """Perplexity of the held-out bases in windows of each length: of all, with at least half of it before, by class."""
    index = read_index(place / "shards")
    held_out = [
        Interval(index.sequences[region.sequence].name, region.start, region.end) for region in index.splits["valid"]
    ]
    model = HyenaDNA.from_pretrained(place / "run", precision="bf16")
    rows = []
    for length in contexts:
        found = model.evaluate(fasta, regions=held_out, length=length, cache=place / "fasta")
        row = {
            "context": length,
            "windows": found.windows,
            "bases": found.total.bases,
            "perplexity": found.total.perplexity,
            "bits_per_base": found.total.bits_per_base,
            "second_half_perplexity": found.last()[f"last {length // 2:,}"].perplexity,
            "by_position": [
                {"bases_before": name, "bases": tally.bases, "perplexity": tally.perplexity}
                for name, tally in found.contexts().items()
                if tally.bases
            ],
        }
        rows.append(row)
        print(
            f"{length:>9,} bases of context: perplexity {row['perplexity']:.4f}, "
            f"{row['second_half_perplexity']:.4f} in the second half of {row['windows']:,} windows",
            flush=True,
        )
    return rows


def stage_ends(lines: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Of each stage its length, tokens, seconds of steps, speed, last loss and the last validation in it."""
    steps = [line for line in lines if "loss" in line]
    seconds = {
        later["step"]: (later["tokens"] - before["tokens"]) / later["tokens_per_second"]
        for before, later in pairwise([{"tokens": 0}, *steps])
    }
    scored = {line["step"]: line["validation_perplexity"] for line in lines if "validation_perplexity" in line}
    ends = []
    for stage in sorted({line["stage"] for line in steps}):
        own = [line for line in steps if line["stage"] == stage]
        last = own[-1]
        ends.append(
            {
                "length": last["length"],
                "steps": len(own),
                "tokens": last["tokens"],
                "seconds": sum(seconds[line["step"]] for line in own),
                "median_tokens_per_second": sorted(line["tokens_per_second"] for line in own)[len(own) // 2],
                "peak_memory_gib": last["peak_memory_gib"],
                "training_perplexity": _mean([line["perplexity"] for line in own[-100:]]),
                "validation_perplexity": scored[max(step for step in scored if step <= last["step"])],
            }
        )
    return ends


def _mean(values: list[float]) -> float:
    return sum(values) / len(values)


def plot(result: dict[str, Any], path: Path) -> None:
    figure, (left, right) = pyplot.subplots(1, 2, figsize=(12, 4.5), layout="constrained")
    left.plot(
        [line["tokens"] / 1e9 for line in result["curve"]],
        [line["perplexity"] for line in result["curve"]],
        marker=".",
        label="8 layers, 256 wide, at 1,024 bases",
    )
    for stage in result["stages"]:
        left.axvline(stage["tokens"] / 1e9, color="lightgrey", linewidth=0.8)
        left.annotate(
            f"{stage['length']:,}", (stage["tokens"] / 1e9, 0.98), xycoords=("data", "axes fraction"), rotation=90,
            ha="right", va="top", fontsize=8, color="grey",
        )  # fmt: skip
    left.set(xlabel="training tokens (billions)", ylabel="perplexity, last 10 % of human chr20")
    rows = result["contexts"]
    lengths = [row["context"] for row in rows]
    right.plot(lengths, [row["perplexity"] for row in rows], marker=".", label="all of each window")
    right.plot(lengths, [row["second_half_perplexity"] for row in rows], marker=".", label="its second half")
    right.set_xscale("log", base=2)
    right.set_xlabel("context (bases)")
    left.axhline(MARKOV_PERPLEXITY, color="grey", linestyle=":", label="best Markov model, order 10")
    for axis in (left, right):
        axis.axhline(
            result["short_model_perplexity"], color="grey", linestyle="--", label="2 layers, 128 wide, 1,024 bases"
        )
        axis.legend(fontsize=8)
    figure.savefig(path, dpi=150)


def main() -> int:
    arguments = parse_arguments()
    place = arguments.place
    if not (place / "shards" / INDEX_NAME).exists():
        shard(arguments.fasta, place / "shards")
    code = train(place, arguments.minutes, arguments.overrides)
    if code != EXIT_DONE:
        return code
    lines = read_metrics(place / "run")
    tokens = {line["step"]: line["tokens"] for line in lines if "tokens" in line}
    result = {
        "stages": stage_ends(lines),
        "curve": [
            {"step": line["step"], "tokens": tokens[line["step"]], "perplexity": line["validation_perplexity"]}
            for line in lines
            if "validation_perplexity" in line
        ],
        "contexts": score(place, arguments.fasta, arguments.contexts),
        "short_model_perplexity": json.loads(SHORT_RESULT.read_text(encoding="utf-8"))["perplexity"],
        "markov_perplexity": MARKOV_PERPLEXITY,
        "overrides": arguments.overrides,
        "machine": describe_machine(arguments.commit),
    }
    arguments.output.mkdir(parents=True, exist_ok=True)
    (arguments.output / "chr20_long.json").write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    plot(result, arguments.output / "chr20_long.png")
    print_stages(result["stages"])
    first = result["contexts"][0]
    verdict = "below" if first["perplexity"] < result["short_model_perplexity"] else "NOT below"
    print(
        f"perplexity at {first['context']:,}: {first['perplexity']:.4f}, {verdict} the "
        f"{result['short_model_perplexity']:.4f} of benchmarks/chr20.py"
    )
    return EXIT_DONE


def print_stages(stages: list[dict[str, Any]]) -> None:
    names = {"length": 9, "steps": 8, "M tokens": 10, "minutes": 9, "M tokens/s": 12, "training": 10, "validation": 12}
    print("".join(f"{name:>{width}}" for name, width in names.items()) + "  perplexity, validation at 1,024")
    for stage in stages:
        print(
            f"{stage['length']:>9,}{stage['steps']:>8,}{stage['tokens'] / 1e6:>10,.0f}{stage['seconds'] / 60:>9.1f}"
            f"{stage['median_tokens_per_second'] / 1e6:>12.2f}{stage['training_perplexity']:>10.4f}"
            f"{stage['validation_perplexity']:>12.4f}"
        )


if __name__ == "__main__":
    sys.exit(main())
