"""Embedding 10,000 sequences of 200 to 20,000 bases, and single ones of up to a million: `benchmarks/embedding.py`.

Runs `launch/embed.py` on a 2-layer 128-wide model with random weights, and measures its memory and its speed beside
the model's own forward passes on full batches. Then embeds one whole sequence on 8-layer 256-wide models of the
published 160k, 450k and 1M contexts, or of other `--lengths`, and measures the peak memory; on a CPU only where asked.
"""

import argparse
import json
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import torch

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from benchmarks.machine import describe_machine
from hyena_ds.api import HyenaDNA
from hyena_ds.hub.export import export_huggingface
from hyena_ds.inference.frozen import FrozenModel, Precision
from hyena_ds.model.config import ModelConfig
from hyena_ds.model.language_model import HyenaLanguageModel

SHORTEST, LONGEST = 200, 20_000
FULL_BATCH_LENGTHS = (256, 1_024, 4_096, 16_384)
PUBLISHED_LENGTHS = (160_000, 450_000, 1_000_000)
LIMITS_GIB = {160_000: 16, 450_000: 24, 1_000_000: 40}
GIB = 2**30
REPEATS = 7  # of a job that takes less than a second


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--precision", choices=["fp32", "bf16"], default="fp32")
    parser.add_argument("--sequences", type=int, default=10_000)
    parser.add_argument("--lengths", type=int, nargs="*", metavar="N", help="bases of the single sequences")
    parser.add_argument("--seconds", type=float, default=5.0, help="of each forward pass's measurement (default 5)")
    parser.add_argument("--output", type=Path, default=ROOT / "benchmarks" / "results", help="where the JSON goes")
    parser.add_argument("--commit", help="commit of this tree, where it has no repository")
    return parser.parse_args()


def random_model(d_model: int, n_layer: int, l_max: int) -> HyenaLanguageModel:
    torch.manual_seed(0)
    return HyenaLanguageModel(ModelConfig(d_model=d_model, n_layer=n_layer, l_max=l_max))


def random_bases(length: int, generator: np.random.Generator) -> str:
    return generator.choice(np.frombuffer(b"ACGT", dtype=np.uint8), length).tobytes().decode()


def random_lengths(count: int) -> list[int]:
    """Log-uniform, so that short sequences are many and long ones hold most bases."""
    generator = np.random.default_rng(0)
    return np.exp(generator.uniform(np.log(SHORTEST), np.log(LONGEST + 1), count)).astype(int).tolist()


def write_fasta(path: Path, lengths: list[int]) -> None:
    generator = np.random.default_rng(1)
    with path.open("w", encoding="utf-8") as file:
        for number, length in enumerate(lengths):
            file.write(f">{number}\n{random_bases(length, generator)}\n")


def run_command(model: Path, fasta: Path, output: Path, device: str, precision: Precision) -> dict[str, float]:
    """Seconds of the whole command, start-up included, and the most memory that it held."""
    command = [sys.executable, "launch/embed.py", "--model", str(model), "--input", str(fasta), "--device", device]
    started = time.perf_counter()
    subprocess.run([*command, "--precision", precision, "--output", str(output)], cwd=ROOT, check=True)
    seconds = time.perf_counter() - started
    return {
        "seconds": seconds,
        "peak_resident_gib": resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024 / GIB,
    }


def check_names(output: Path, count: int) -> None:
    names = pq.read_table(output, columns=["name"])["name"].to_pylist()
    if names != [str(number) for number in range(count)]:
        sys.exit(f"{output} does not hold the {count:,} sequences in their order")


def synchronize(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def rate(work: Callable[[], int], device: torch.device, seconds: float) -> float:
    """Tokens a second of repeated `work`, which returns its tokens, after one call that does not count."""
    work()
    synchronize(device)
    tokens, started = 0, time.perf_counter()
    while time.perf_counter() - started < seconds:
        tokens += work()
    synchronize(device)
    return tokens / (time.perf_counter() - started)


def forward_rates(model: FrozenModel, seconds: float) -> dict[int, float]:
    """Tokens a second of forward passes on full batches without padding, by length."""

    def forward_on(length: int) -> Callable[[], int]:
        tokens = torch.randint(7, 11, (max(1, model.tokens_per_batch // length), length)).to(model.device)
        return lambda: model.hidden(tokens).shape[:2].numel()

    return {length: rate(forward_on(length), model.device, seconds) for length in FULL_BATCH_LENGTHS}


def rate_of_mixture(lengths: list[int], rates: dict[int, float]) -> float:
    """Tokens a second if each of `lengths` went at the nearest length's of the `rates`."""
    nearest = [min(rates, key=lambda measured: abs(np.log(length / measured))) for length in lengths]
    return sum(lengths) / sum(length / rates[near] for length, near in zip(lengths, nearest, strict=True))


def embedding_rate(model: FrozenModel, texts: list[str]) -> float:
    """Bases a second of `HyenaDNA.embed` to a file."""
    with tempfile.TemporaryDirectory() as folder:
        started = time.perf_counter()
        HyenaDNA(model, "benchmark").embed(texts, output=Path(folder) / "vectors.parquet")
        return sum(map(len, texts)) / (time.perf_counter() - started)


def measure_stream(arguments: argparse.Namespace) -> dict[str, Any]:
    lengths = random_lengths(arguments.sequences)
    network = random_model(d_model=128, n_layer=2, l_max=LONGEST + 2)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        export_huggingface(dict(network.named_parameters()), {}, network.config, folder / "hf")
        write_fasta(folder / "mixed.fa", lengths)
        output = folder / "vectors.parquet"
        command = run_command(folder / "hf", folder / "mixed.fa", output, arguments.device, arguments.precision)
        check_names(output, arguments.sequences)
    model = FrozenModel.on(network, arguments.device, arguments.precision)
    generator = np.random.default_rng(2)
    chosen = lengths if arguments.device == "cuda" else lengths[: max(len(lengths) // 10, 1)]
    texts = [random_bases(length, generator) for length in chosen]
    first = embedding_rate(model, texts)  # meets every shape for the first time: kernels are compiled, plans are made
    repeats = [embedding_rate(model, texts) for _ in range(REPEATS if arguments.device == "cuda" else 1)]
    embedded, forward = statistics.median(repeats), forward_rates(model, arguments.seconds)
    alike = rate_of_mixture(chosen, forward)
    return {
        "sequences": len(lengths),
        "bases": sum(lengths),
        "command": command | {"bases_per_second": sum(lengths) / command["seconds"]},
        "first_embed_bases_per_second": first,
        "embed_bases_per_second": embedded,
        "repeats": repeats,
        "forward_tokens_per_second": forward,
        "forward_tokens_per_second_at_these_lengths": alike,
        "share_of_forward": embedded / alike,
        "share_of_fastest_forward": embedded / max(forward.values()),
    }


def measure_whole(length: int, device: str, precision: Precision) -> dict[str, Any]:
    """Peak memory of embedding one sequence of `length` bases on the 8-layer 256-wide model of that context.

    `peak_gib` is what torch's allocator held of the GPU, of which `allocated_gib` was in use; on a CPU the process's.
    """
    model = HyenaDNA(FrozenModel.on(random_model(256, 8, length + 2), device, precision), "benchmark")
    sequence = random_bases(length, np.random.default_rng(0))
    row: dict[str, Any] = {"length": length, "limit_gib": LIMITS_GIB.get(length)}
    if device == "cuda":
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
    started = time.perf_counter()
    vector = model.embed(sequence)
    row["seconds"] = time.perf_counter() - started
    if not np.isfinite(vector).all():
        sys.exit(f"the embedding of {length:,} bases is not finite")
    if device == "cuda":
        row["peak_gib"] = torch.cuda.max_memory_reserved() / GIB
        row["allocated_gib"] = torch.cuda.max_memory_allocated() / GIB
    else:
        row["peak_gib"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / GIB
    limit = f" of {row['limit_gib']}" if row["limit_gib"] else ""
    print(f"{length:>10,} bases  {row['peak_gib']:6.1f}{limit} GiB  {row['seconds']:6.1f} s", flush=True)
    return row


def lengths_of(arguments: argparse.Namespace) -> list[int]:
    """The bases of the single sequences."""
    if arguments.lengths is not None:
        return list(arguments.lengths)
    return list(PUBLISHED_LENGTHS) if arguments.device == "cuda" else []


def main() -> None:
    arguments = parse_arguments()
    result = measure_stream(arguments)
    print(json.dumps(result, indent=1), flush=True)
    result |= {"precision": arguments.precision, "threads": torch.get_num_threads()}
    result["whole"] = [measure_whole(length, arguments.device, arguments.precision) for length in lengths_of(arguments)]
    result["machine"] = describe_machine(arguments.commit)
    arguments.output.mkdir(parents=True, exist_ok=True)
    suffix = "" if arguments.precision == "fp32" else f"_{arguments.precision}"
    path = arguments.output / f"embedding_{arguments.device}{suffix}.json"
    path.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    print(f"written to {path}")


if __name__ == "__main__":
    main()
