"""Time of generating bases online beside recomputing the prefix for each: `python benchmarks/generation.py`.

Checks first that both draw the same greedy bases, and that one forward pass over the result gives the logits of every
online step. Recomputing is the sum of one forward pass a base, interpolated between the lengths that are timed.
`--quick` stops at 1,000 bases and writes nothing.
"""

import argparse
import json
import math
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")
import numpy as np
import torch
from matplotlib import pyplot

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from benchmarks.machine import describe_machine
from hyena_ds.genome.alphabet import A, T, encode
from hyena_ds.inference.frozen import FrozenModel
from hyena_ds.inference.generation import Sampling, generate
from hyena_ds.inference.online_model import OnlineModel
from hyena_ds.inference.sequences import NamedSequence
from hyena_ds.model.config import ModelConfig
from hyena_ds.model.language_model import HyenaLanguageModel

PROMPT = 1_000
ONLINE = [250, 500, 1_000, 2_000, 4_000, 10_000, 20_000, 40_000]
TIMED_LENGTHS = [1_000, 2_000, 4_000, 8_000, 16_000, 24_000, 32_000, 41_000]
REPEATS = 5
CHECKED = 10_000
GREEDY = Sampling(temperature=0)


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--quick", action="store_true", help="up to 1,000 bases, nothing written")
    parser.add_argument("--output", type=Path, default=ROOT / "benchmarks" / "results", help="where JSON and PNG go")
    parser.add_argument("--commit", help="commit of this tree, where it has no repository")
    return parser.parse_args()


def make_model(device: str) -> FrozenModel:
    """2 layers, 128 wide, with weights larger than those of initialisation, so that every position matters."""
    torch.manual_seed(0)
    model = HyenaLanguageModel(ModelConfig(d_model=128, n_layer=2, l_max=PROMPT + max(ONLINE) + 2))
    with torch.no_grad():
        for parameter in model.parameters():
            parameter += 0.05 * torch.randn_like(parameter)
    return FrozenModel.on(model, device)


def make_prompt() -> NamedSequence:
    bases = np.random.default_rng(0).choice(np.frombuffer(b"ACGT", dtype=np.uint8), PROMPT)
    return NamedSequence("prompt", bases.tobytes())


def naive(model: FrozenModel, prompt: NamedSequence, bases: int) -> str:
    """Greedy bases, each from a forward pass over all before it."""
    tokens = torch.from_numpy(prompt.tokens.astype(np.int64))[None].to(model.device)
    for _ in range(bases):
        likeliest = model.logits(tokens)[:, -1, A : T + 1].argmax(dim=1) + A
        tokens = torch.cat([tokens, likeliest[:, None]], dim=1)
    return "".join("ACGT"[token - A] for token in tokens[0, PROMPT:].tolist())


def online(model: FrozenModel, prompt: NamedSequence, bases: int) -> str:
    return generate(model, prompt, bases, GREEDY, samples=1, seed=(0,))[0].bases


def check(model: FrozenModel, prompt: NamedSequence, bases: int) -> float:
    """The largest difference between an online step's logits and one forward pass; exits where it is above 1e-4."""
    if online(model, prompt, 100) != naive(model, prompt, 100):
        sys.exit("online and naive generation draw different bases")
    text = prompt.raw + online(model, prompt, bases).encode()
    tokens = torch.from_numpy(encode(text).astype(np.int64))[None].to(model.device)
    with model.evaluation():
        state = OnlineModel(model.model, len(text))
        steps = [state(tokens[:, :PROMPT])]
        steps += [state(tokens[:, number : number + 1]) for number in range(PROMPT, len(text))]
    error = float((torch.cat(steps, dim=1) - model.logits(tokens)).abs().max())
    if not error <= 1e-4:
        sys.exit(f"online logits differ from a forward pass by {error:.1e}")
    return error


def seconds_of(work: Callable[[], Any], device: torch.device) -> float:
    """On a CPU the process's own seconds, whatever else the machine does."""
    clock = time.process_time if device.type == "cpu" else time.perf_counter
    started = clock()
    work()
    if device.type == "cuda":
        torch.cuda.synchronize()
    return clock() - started


def online_seconds(model: FrozenModel, prompt: NamedSequence, counts: list[int]) -> list[dict[str, float]]:
    rows = []
    for bases in counts:
        times = [seconds_of(lambda: online(model, prompt, bases), model.device) for _ in range(3)]  # noqa: B023
        rows.append({"bases": bases, "seconds": statistics.median(times)})
    return rows


def naive_seconds(model: FrozenModel, counts: list[int]) -> list[dict[str, float]]:
    """The sum over the bases of one forward pass over all before each."""
    passes = []
    for length in TIMED_LENGTHS:
        tokens = torch.full((1, length), A, device=model.device)
        times = [seconds_of(lambda: model.logits(tokens), model.device) for _ in range(REPEATS)]  # noqa: B023
        passes.append(statistics.median(times))
    return [
        {"bases": bases, "seconds": float(np.interp(PROMPT + np.arange(bases), TIMED_LENGTHS, passes).sum())}
        for bases in counts
    ]


def growth(rows: list[dict[str, float]]) -> float:
    """The exponent of bases that seconds grow with, from the last four rows."""
    chosen = rows[-4:]
    logarithms = [[math.log(row[key]) for row in chosen] for key in ("bases", "seconds")]
    return float(np.polyfit(*logarithms, 1)[0])


def plot(result: dict[str, Any], path: Path) -> None:
    figure, axes = pyplot.subplots(figsize=(7, 4.5), layout="constrained")
    for name in ("online", "naive"):
        bases, seconds = ([row[key] for row in result[name]] for key in ("bases", "seconds"))
        axes.plot(bases, seconds, marker=".", label=f"{name}: grows as n^{result[f'{name}_exponent']:.2f}")
    last = result["online"][-1]
    counts = np.array(ONLINE, dtype=float)
    bound = last["seconds"] * counts * np.log(counts) ** 2 / (last["bases"] * math.log(last["bases"]) ** 2)
    axes.plot(counts, bound, linestyle="--", color="grey", label="n log² n through the last point")
    axes.set(xscale="log", yscale="log", xlabel=f"bases drawn behind a prompt of {PROMPT:,}", ylabel="seconds")
    axes.legend()
    figure.suptitle(f"Generation, 2 layers, 128 wide, on {result['machine']['device']}")
    figure.savefig(path, dpi=150)


def main() -> None:
    arguments = parse_arguments()
    model, prompt = make_model(arguments.device), make_prompt()
    most = 1_000 if arguments.quick else CHECKED
    error = check(model, prompt, most)
    print(f"logits of {most:,} online steps are within {error:.1e} of one forward pass")
    result: dict[str, Any] = {"prompt": PROMPT, "largest_difference_of_logits": error, "checked_bases": most}
    counts = [count for count in ONLINE if count <= 1_000 or not arguments.quick]
    for name, rows in (("online", online_seconds(model, prompt, counts)), ("naive", naive_seconds(model, counts))):
        result |= {name: rows, f"{name}_exponent": growth(rows)}
        for row in rows:
            print(f"{name:>8} {row['bases']:>8,} bases  {row['seconds']:10.2f} s")
    if arguments.quick:
        return
    result |= {"threads": torch.get_num_threads(), "machine": describe_machine(arguments.commit)}
    arguments.output.mkdir(parents=True, exist_ok=True)
    stem = arguments.output / f"generation_{arguments.device}"
    stem.with_suffix(".json").write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    plot(result, stem.with_suffix(".png"))
    print(f"written to {stem}.json and .png")


if __name__ == "__main__":
    main()
