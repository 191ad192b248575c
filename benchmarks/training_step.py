"""Whole training steps of ours, of the published model in plain PyTorch, and of a Transformer of the same size.

`python benchmarks/training_step.py`, on one GPU: forward, backward and optimizer of 2^20 random bases at each length,
8 layers, 256 wide, bf16, every block computed again in the backward pass. Ours is stepped by the training engine. The
plain model's loss and gradients must be ours, and the Transformer causal, before either is timed. A model that runs out
of memory takes smaller micro-batches; one whose step would outlast --budget is left out.
"""

import argparse
import gc
import json
import statistics
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")
import torch
from matplotlib import pyplot
from torch.nn.attention import SDPBackend

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from benchmarks.long_context import config_for
from benchmarks.machine import describe_machine
from benchmarks.plain_models import plain_hyena, transformer
from benchmarks.plain_training import PlainTrainer, check_causal, check_equal, random_bases
from hyena_ds.engine.distributed import leave, start
from hyena_ds.model.sequence import WholeSequence
from hyena_ds.parallel.environment import read_environment
from hyena_ds.training.build import build_engine, build_model
from hyena_ds.training.config import RunConfig
from hyena_ds.training.preflight import StepMeasurement, measure_step

LENGTHS = [2**10, 2**12, 2**15, 2**17, 2**18, 2**20]
OURS, KEPT, PLAIN, ATTENTION = "ours", "ours, nothing recomputed", "plain PyTorch", "Transformer"
# How ours recomputes, and the most tokens of a micro-batch: what is kept of 2^18 takes 21 GiB.
POLICIES = {OURS: ("block", 2**20), KEPT: ("none", 2**18)}
BACKENDS = {"flash": SDPBackend.FLASH_ATTENTION, "cudnn": SDPBackend.CUDNN_ATTENTION}
CHECKED_TOKENS = 2**18
# A first step that takes so long is the measurement; one so short is followed by more than one.
PATIENCE_SECONDS, SHORT_SECONDS = 20.0, 2.0
# The paper's headline: at a million tokens on one A100, 2 layers, 128 wide, forward and backward.
PUBLISHED_RATIO = 160

Step = Callable[[], StepMeasurement]
Measure = Callable[[int, int], dict[str, Any]]  # of a batch and a number of micro-batches
HEADER = f"{'length':>10}  {'model':26}{'batches':>11}{'ms a step':>10}{'M tokens/s':>12}{'GiB':>8}{'slower':>8}"


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--lengths", type=int, nargs="+", default=LENGTHS, help="tokens of a sequence")
    parser.add_argument("--tokens", type=int, default=2**20, help="of a step, as whole sequences")
    parser.add_argument("--steps", type=int, default=3, help="timed steps after one that is not; long ones take one")
    parser.add_argument("--attention", choices=BACKENDS, default="flash", help="the Transformer's attention kernel")
    parser.add_argument("--budget", type=float, default=90, help="seconds that a Transformer's step may take")
    parser.add_argument("--output", type=Path, default=ROOT / "benchmarks" / "results", help="where JSON and PNG go")
    parser.add_argument("--name", default="training_step", help="of the result files")
    parser.add_argument("--commit", help="commit of this tree, where it has no repository")
    parser.add_argument("overrides", nargs="*", metavar="section.key=value", help="values for configs/1m.yaml")
    return parser.parse_args()


def measured(step: Step, steps: int) -> dict[str, Any]:
    """Seconds of the median step and GiB of the largest."""
    first = step()
    if first.seconds > PATIENCE_SECONDS:
        taken = [first]
    else:
        taken = [step() for _ in range(steps if first.seconds < SHORT_SECONDS else 1)]
    return {
        "seconds": statistics.median(one.seconds for one in taken),
        "peak_gib": max(one.peak_bytes for one in taken) / 2**30,
        "steps": len(taken),
    }


def fitting(measure: Measure, tokens: int, length: int, most: int) -> dict[str, Any]:
    """`tokens` in micro-batches of at most `most` tokens, smaller ones where memory runs out."""
    sequences = max(1, tokens // length)
    batch = max(1, min(sequences, most // length))
    while batch:
        row = attempt(measure, batch, sequences // batch)
        release()
        if row is not None:
            micro_batches = sequences // batch
            speed = length * batch * micro_batches / row["seconds"]
            return {"length": length, "batch": batch, "micro_batches": micro_batches, "tokens_per_second": speed, **row}
        batch //= 2
    return {"length": length, "left_out": "out of memory with one sequence"}


def attempt(measure: Measure, batch: int, micro_batches: int) -> dict[str, Any] | None:
    """None where memory runs out; what the error's traceback holds is free afterwards."""
    try:
        return measure(batch, micro_batches)
    except torch.OutOfMemoryError:
        return None


def release() -> None:
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


class Comparison:
    """The models at one length, one alive at a time."""

    def __init__(self, arguments: argparse.Namespace, device: torch.device, length: int) -> None:
        self.arguments, self.device, self.length = arguments, device, length

    def config(self, batch: int, policy: str) -> RunConfig:
        words = [*self.arguments.overrides, f"engine.activation_checkpointing={policy}"]
        return config_for(self.length, batch, 1, words)

    def trainer(self, model: Any, config: RunConfig) -> PlainTrainer:
        bf16 = config.engine.computes_in_bf16(self.device.type)
        return PlainTrainer(model, config.optimizer, self.device, bf16=bf16)

    def ours(self, policy: str, batch: int, micro_batches: int) -> dict[str, Any]:
        """Checked beside the plain model, then timed."""
        config = self.config(batch, policy)
        model = build_model(config, WholeSequence())
        plain = plain_hyena(config.model)
        plain.load_state_dict(model.state_dict())
        engine = build_engine(model, config, 1, self.device)
        windows = random_bases(max(1, min(batch, CHECKED_TOKENS // self.length)), self.length)
        errors = check_equal(engine, model, self.trainer(plain, config), windows)
        del plain
        release()
        step = partial(
            measure_step, engine, WholeSequence(), batch=batch, length=self.length, micro_batches=micro_batches
        )
        row = measured(step, self.arguments.steps)
        engine.close()
        return {**row, "errors": errors}

    def plain(self, batch: int, micro_batches: int) -> dict[str, Any]:
        config = self.config(batch, "block")
        model = plain_hyena(config.model)
        model.load_state_dict(build_model(config, WholeSequence()).state_dict())
        trainer = self.trainer(model, config)
        return measured(partial(trainer.step, random_bases(batch, self.length), micro_batches), self.arguments.steps)

    def transformer(self, batch: int, micro_batches: int) -> dict[str, Any]:
        config = self.config(batch, "block")
        trainer = self.trainer(transformer(config.model, BACKENDS[self.arguments.attention]), config)
        leak = check_causal(trainer, min(self.length, 1024))
        step = partial(trainer.step, random_bases(batch, self.length), micro_batches)
        return {**measured(step, self.arguments.steps), "errors": {"leak": leak}}


def compare(comparison: Comparison, earlier: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """A row a model."""
    arguments, length = comparison.arguments, comparison.length
    rows = []
    for name, (policy, most) in POLICIES.items():
        if length <= most:
            rows.append({"model": name, **fitting(partial(comparison.ours, policy), arguments.tokens, length, most)})
    rows.append({"model": PLAIN, **fitting(comparison.plain, arguments.tokens, length, arguments.tokens)})
    expected = predicted_seconds(earlier, length)
    if expected > arguments.budget:
        skipped = f"a step would take about {expected:.0f} s"
        return [*rows, {"model": ATTENTION, "length": length, "left_out": skipped}]
    return [*rows, {"model": ATTENTION, **fitting(comparison.transformer, arguments.tokens, length, arguments.tokens)}]


def predicted_seconds(rows: list[dict[str, Any]], length: int) -> float:
    """At most: attention's share of a step of so many tokens grows with the length."""
    known = [row for row in rows if row["model"] == ATTENTION and "seconds" in row]
    return known[-1]["seconds"] * length / known[-1]["length"] if known else 0.0


def ratios(rows: list[dict[str, Any]]) -> dict[str, dict[str, float]]:
    """How many times faster ours is than each other model, by length."""
    speeds = {(row["length"], row["model"]): row["tokens_per_second"] for row in rows if "seconds" in row}
    return {
        str(length): {
            model: speeds[length, OURS] / speed
            for (of, model), speed in speeds.items()
            if of == length and model in (PLAIN, ATTENTION)
        }
        for length in sorted({length for length, _ in speeds})
        if (length, OURS) in speeds
    }


def print_rows(rows: list[dict[str, Any]]) -> None:
    for row in rows:
        head = f"{row['length']:>10,}  {row['model']:26}"
        if "left_out" in row:
            print(f"{head}left out: {row['left_out']}", flush=True)
            continue
        length_ratio = ratios(rows).get(str(row["length"]), {}).get(row["model"])
        slower = "" if length_ratio is None else f"{length_ratio:8.1f}"
        print(
            f"{head}{row['micro_batches']:>3} x {row['batch']:<5}{row['seconds'] * 1e3:12,.1f}"
            f"{row['tokens_per_second'] / 1e6:12.3f}{row['peak_gib']:8.1f}{slower}",
            flush=True,
        )


def plot(rows: list[dict[str, Any]], title: str, path: Path) -> None:
    figure, axes = pyplot.subplots(1, 2, figsize=(11, 4.2), layout="constrained")
    for model in (OURS, KEPT, PLAIN, ATTENTION):
        known = [row for row in rows if row["model"] == model and "seconds" in row]
        lengths = [row["length"] for row in known]
        style = "--" if model == KEPT else "-"
        axes[0].plot(lengths, [row["tokens_per_second"] / 1e6 for row in known], style, marker=".", label=model)
        axes[1].plot(lengths, [row["peak_gib"] for row in known], style, marker=".", label=model)
    axes[0].set(yscale="log", ylabel="million tokens a second")
    axes[1].set(ylabel="peak memory (GiB)", ylim=(0, None))
    for axis in axes:
        axis.set_xscale("log", base=2)
        axis.set_xlabel("length (bases)")
    axes[0].legend()
    figure.suptitle(title)
    figure.savefig(path, dpi=150)


def main() -> None:
    arguments = parse_arguments()
    device = start(read_environment())
    print(HEADER)
    arguments.output.mkdir(parents=True, exist_ok=True)
    rows: list[dict[str, Any]] = []
    for length in arguments.lengths:
        added = compare(Comparison(arguments, device, length), rows)
        print_rows(added)
        rows += added
        result = {
            "tokens": arguments.tokens,
            "attention": arguments.attention,
            "overrides": arguments.overrides,
            "rows": rows,
            "times_faster": ratios(rows),
            "published_times_faster": PUBLISHED_RATIO,
            "machine": describe_machine(arguments.commit),
        }
        path = arguments.output / f"{arguments.name}.json"
        path.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    title = f"A training step of {arguments.tokens:,} tokens on {result['machine']['device']}"
    plot(rows, title, path.with_suffix(".png"))
    longest = max(int(length) for length in result["times_faster"])
    if ATTENTION in result["times_faster"][str(longest)]:
        print(
            f"at {longest:,}: {result['times_faster'][str(longest)][ATTENTION]:.1f} times faster than the Transformer "
            f"with {arguments.attention} attention (published, 2 layers on an A100: {PUBLISHED_RATIO})"
        )
    leave()


if __name__ == "__main__":
    main()
