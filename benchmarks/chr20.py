"""Pretrain on the first 90 % of human chr20, score the last 10 %: `python benchmarks/chr20.py --fasta chr20.fa.gz`."""

import argparse
import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")
from matplotlib import pyplot

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from benchmarks.machine import describe_machine
from hyena_ds.training.metrics import read_metrics

KEPT_RESULT = ROOT / "benchmarks" / "results" / "chr20.json"
# The best interpolated Markov model (order 10) trained and scored on the same split.
MARKOV_PERPLEXITY = 3.639


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--fasta", type=Path, required=True, help="human chromosome 20, plain or gzip")
    parser.add_argument("--output", type=Path, default=ROOT / "benchmarks" / "results", help="where JSON and PNG go")
    parser.add_argument("--commit", help="commit of this tree, where it has no repository")
    parser.add_argument("overrides", nargs="*", metavar="section.key=value", help="values for benchmarks/chr20.yaml")
    return parser.parse_args()


def shard(fasta: Path, directory: Path) -> None:
    """The first 90 % of the chromosome train, the last 10 % validate."""
    command = [sys.executable, "-m", "preprocessing.shard", "--fasta", str(fasta), "--species", "human"]
    command += ["--split-fractions", "0.9,0.1,0", "--output", str(directory), "--length", "1024", "--overwrite"]
    subprocess.run(command, cwd=ROOT, check=True)


def train(overrides: list[str]) -> float:
    """Minutes of the whole command, start-up and validation included."""
    started = time.perf_counter()
    launcher = [sys.executable, "-m", "deepspeed.launcher.runner", "--num_gpus", "1"]
    command = [*launcher, "launch/pretrain.py", "--config", "benchmarks/chr20.yaml", *overrides]
    subprocess.run(command, cwd=ROOT, check=True)
    return (time.perf_counter() - started) / 60


def first_result() -> dict[str, Any]:
    """The oldest result that is kept: what an earlier commit reached on the same bases."""
    kept = json.loads(KEPT_RESULT.read_text(encoding="utf-8"))
    names = ("perplexity", "minutes", "median_tokens_per_second")
    first: dict[str, Any] = kept.get("first") or {
        "commit": kept["machine"]["commit"],
        **{name: kept[name] for name in names},
    }
    return first


def plot(lines: list[dict[str, Any]], path: Path) -> None:
    tokens = {line["step"]: line["tokens"] for line in lines if "tokens" in line}
    scored = [line for line in lines if "validation_perplexity" in line]
    figure, axes = pyplot.subplots(figsize=(7, 4.5), layout="constrained")
    axes.plot(
        [tokens[line["step"]] / 1e9 for line in scored],
        [line["validation_perplexity"] for line in scored],
        marker=".",
        label="HyenaDNA, 2 layers, 128 wide, 1,024 bases",
    )
    axes.axhline(MARKOV_PERPLEXITY, color="grey", linestyle="--", label="best Markov model, order 10")
    axes.set_xlabel("training tokens (billions)")
    axes.set_ylabel("perplexity, last 10 % of human chr20")
    axes.legend()
    figure.savefig(path, dpi=150)


def main() -> None:
    arguments = parse_arguments()
    shard(arguments.fasta, ROOT / "data" / "chr20")
    minutes = train(arguments.overrides)
    lines = read_metrics(ROOT / "runs" / "chr20")
    final = [line for line in lines if "validation_perplexity" in line][-1]
    steps = [line for line in lines if "loss" in line]
    result = {
        "perplexity": final["validation_perplexity"],
        "bits_per_base": final["bits_per_base"],
        "windows": final["windows"],
        "markov_perplexity": MARKOV_PERPLEXITY,
        "tokens": steps[-1]["tokens"],
        "minutes": minutes,
        "median_tokens_per_second": sorted(line["tokens_per_second"] for line in steps)[len(steps) // 2],
        "peak_memory_gib": max(line["peak_memory_gib"] for line in steps),
        "curve": [line for line in lines if "validation_perplexity" in line],
        "first": first_result(),
        "machine": describe_machine(arguments.commit),
    }
    arguments.output.mkdir(parents=True, exist_ok=True)
    (arguments.output / "chr20.json").write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    plot(lines, arguments.output / "chr20.png")
    first = result["first"]
    print(
        f"perplexity {result['perplexity']:.4f} on {result['windows']:,} windows of the last 10 % "
        f"(Markov order 10: {MARKOV_PERPLEXITY}), {result['tokens'] / 1e9:.2f} billion tokens in {minutes:.1f} min; "
        f"at commit {first['commit']} {first['perplexity']:.4f} in {first['minutes']:.1f}"
    )


if __name__ == "__main__":
    main()
