"""Losses of 200 steps on real DNA by every backend of the long convolution: do they differ by more than noise?

`python benchmarks/loss_traces.py --shards data/chr20` (shards as benchmarks/chr20.py makes them). Each backend trains
from the same weights on the same windows, and its losses are held against those of `torch`. Two kinds of noise stand
beside them, both of `torch` alone: another seed (weights, order, dropout), which is how much a loss depends on chance;
and what rounding alone grows to, seen by the same seed run again and by one whose first weights are rounded to bf16.
"""

import argparse
import json
import statistics
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import torch
from matplotlib import pyplot
from torch import Tensor, nn

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from benchmarks.machine import describe_machine
from hyena_ds.config.load import load_config
from hyena_ds.data.batch import BatchReader
from hyena_ds.data.loader import StepBatch, StepLoader
from hyena_ds.engine.distributed import leave, start
from hyena_ds.model.dropout import dropout_keys
from hyena_ds.model.sequence import WholeSequence
from hyena_ds.parallel.environment import ProcessEnvironment, read_environment
from hyena_ds.training.build import build_engine, build_model
from hyena_ds.training.check import check_run
from hyena_ds.training.config import RunConfig
from hyena_ds.training.loss import token_loss_sum

# The last steps, whose mean tells whether a backend ends lower or higher.
LAST_STEPS = 50
# The kinds of noise.
SEED, AGAIN, ROUNDED = "another seed", "the same again", "weights rounded to bf16"


@dataclass(frozen=True)
class Trace:
    """One run: its name, backend, how far its seed is from the config's, and whether its first weights are rounded."""

    name: str
    backend: str
    seed_offset: int = 0
    rounded_weights: bool = False


def planned_traces(reference: str, backends: list[str]) -> list[Trace]:
    """The reference, the kinds of noise about it, and the backends that are held against it."""
    return [
        Trace(reference, reference),
        Trace(SEED, reference, seed_offset=1),
        Trace(AGAIN, reference),
        Trace(ROUNDED, reference, rounded_weights=True),
        *(Trace(backend, backend) for backend in backends),
    ]


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--shards", type=Path, required=True, help="shard directory with a train split")
    parser.add_argument("--reference", default="torch", help="backend that the others are held against")
    parser.add_argument("--backends", nargs="+", default=["fast", "exact"], help="backends that are compared")
    parser.add_argument("--output", type=Path, default=ROOT / "benchmarks" / "results", help="where JSON and PNG go")
    parser.add_argument("--commit", help="commit of this tree, where it has no repository")
    parser.add_argument("overrides", nargs="*", metavar="section.key=value", help="values for loss_traces.yaml")
    return parser.parse_args()


def losses(
    trace: Trace, arguments: argparse.Namespace, environment: ProcessEnvironment, device: torch.device
) -> list[float]:
    """The loss of each step."""
    words = [f"data.directory={arguments.shards}", *arguments.overrides, f"engine.convolution={trace.backend}"]
    config = load_config(ROOT / "benchmarks" / "loss_traces.yaml", RunConfig, words)
    config = config.model_copy(update={"seed": config.seed + trace.seed_offset})
    checked = check_run(config, environment)
    (stage,) = checked.schedule.stages
    model = build_model(config, WholeSequence())
    if trace.rounded_weights:
        round_weights(model)
    engine = build_engine(model, config, stage.steps, device)
    reader = BatchReader(checked.shards, checked.stream(stage))
    found: list[float] = []
    with StepLoader(
        reader, checked.step_plan(stage), rank=0, steps=stage.steps, ignore_n=config.data.ignore_n
    ) as loader:
        for batch in loader:
            step = len(found)

            def loss(module: nn.Module, part: tuple[Tensor, Tensor], step: int = step) -> Tensor:
                tokens, samples = (value.to(device) for value in part)
                keys = dropout_keys(config.seed, step + 1, samples)
                ignore_n = config.data.ignore_n
                return token_loss_sum(module, tokens, WholeSequence(), ignore_n=ignore_n, dropout_keys=keys)

            result = engine.train_step(list(micro_batches(batch)), loss, valid_targets=batch.valid, step=step)
            found.append(result.loss)
    engine.close()
    return found


def micro_batches(batch: StepBatch) -> Iterator[tuple[Tensor, Tensor]]:
    """Windows and sample numbers."""
    for tokens, samples in zip(batch.micro_batches, batch.samples, strict=True):
        yield torch.from_numpy(tokens), torch.from_numpy(samples)


@torch.no_grad()
def round_weights(model: nn.Module) -> None:
    """Change every weight by what bf16 cannot hold of it, at most 2^-9 of it."""
    for parameter in model.parameters():
        parameter.copy_(parameter.bfloat16())


def compared(found: dict[str, list[float]], reference: str) -> dict[str, dict[str, float]]:
    """What each trace has more than the reference: mean and largest size, mean and two standard errors at the end."""
    rows = {}
    for name, trace in found.items():
        if name == reference:
            continue
        more = [loss - expected for loss, expected in zip(trace, found[reference], strict=True)]
        last = more[-LAST_STEPS:]
        rows[name] = {
            "mean_magnitude": statistics.fmean(map(abs, more)),
            "largest_magnitude": max(map(abs, more)),
            "last_steps": statistics.fmean(last),
            "last_steps_error": 2 * statistics.stdev(last) / len(last) ** 0.5,
        }
    return rows


def within_noise(differences: dict[str, dict[str, float]], name: str) -> bool:
    """Whether a trace is as near to the reference as another seed: at each step, and in the mean of the last ones."""
    seed, own = differences[SEED], differences[name]
    return own["mean_magnitude"] <= seed["mean_magnitude"] and abs(own["last_steps"]) <= seed["last_steps_error"]


def print_differences(differences: dict[str, dict[str, float]], reference: str, backends: list[str]) -> None:
    print(f"{'nats more than ' + reference:28}{'mean size':>11}{'largest':>11}{f'last {LAST_STEPS}':>11}")
    for name, row in differences.items():
        print(f"{name:28}{row['mean_magnitude']:11.2e}{row['largest_magnitude']:11.2e}{row['last_steps']:+11.2e}")
    seed, rounding = (differences[name]["mean_magnitude"] for name in (SEED, ROUNDED))
    for name in backends:
        size = differences[name]["mean_magnitude"]
        verdict = "within noise" if within_noise(differences, name) else "NOT within noise"
        print(f"{name}: {verdict}: {size / seed:.3f} of what another seed changes, {size / rounding:.2f} of rounding's")


def plot(found: dict[str, list[float]], reference: str, title: str, path: Path) -> None:
    figure, (above, below) = pyplot.subplots(2, 1, figsize=(9, 7), sharex=True, layout="constrained")
    steps = range(1, len(found[reference]) + 1)
    for name, trace in found.items():
        noise = name in (SEED, AGAIN, ROUNDED)
        line = {"linewidth": 0.9, "linestyle": ":" if noise else "-"}
        above.plot(steps, trace, label=name, **line)
        if name != reference:
            apart = [abs(loss - expected) for loss, expected in zip(trace, found[reference], strict=True)]
            below.plot(steps, apart, color=above.lines[-1].get_color(), **line)
    above.set(ylabel="loss (nats a base)")
    below.set(xlabel="step", ylabel=f"|loss - loss of {reference}|", yscale="log")
    above.legend(fontsize=8, ncols=2)
    figure.suptitle(title)
    figure.savefig(path, dpi=150)


def main() -> None:
    arguments = parse_arguments()
    environment = read_environment()
    device = start(environment)
    found = {}
    for trace in planned_traces(arguments.reference, arguments.backends):
        started = time.perf_counter()
        found[trace.name] = losses(trace, arguments, environment, device)
        print(f"{trace.name}: {found[trace.name][-1]:.4f} after {time.perf_counter() - started:.0f} s", flush=True)
    differences = compared(found, arguments.reference)
    result = {
        "reference": arguments.reference,
        "backends": arguments.backends,
        "differences": differences,
        "within_noise": {name: within_noise(differences, name) for name in arguments.backends},
        "overrides": arguments.overrides,
        "losses": found,
        "machine": describe_machine(arguments.commit),
    }
    arguments.output.mkdir(parents=True, exist_ok=True)
    (arguments.output / "loss_traces.json").write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    title = f"Losses on human chr20 by backend of the long convolution, {result['machine']['device']}"
    plot(found, arguments.reference, title, arguments.output / "loss_traces.png")
    print_differences(differences, arguments.reference, arguments.backends)
    leave()


if __name__ == "__main__":
    main()
