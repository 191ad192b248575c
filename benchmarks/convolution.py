"""The long convolution, by `auto` and by torch alone, beside zero-padded torch.fft: `python benchmarks/convolution.py`.

It is checked against float64 before it is timed.
`--quick` takes three lengths and writes nothing.
"""

import argparse
import json
import statistics
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")
import torch
from matplotlib import pyplot
from torch import Tensor
from torch.profiler import ProfilerActivity, profile

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from benchmarks.machine import describe_machine
from hyena_ds.ops.long_convolution import long_convolution

GPU_LENGTHS = [*(2**power for power in range(10, 18)), 160_000, 2**18, 450_000, 2**19, 1_000_000, 2**20]
CPU_LENGTHS = [2**10, 2**12, 2**14, 2**16, 2**17, 160_000, 2**18]
QUICK_LENGTHS = [2**10, 2**14, 2**17]
TOLERANCE = {torch.float32: 1e-5, torch.bfloat16: 2e-2}
REPEATS = 7
MEMORY = {
    "cpu": "highest running sum of the allocator's events in torch.profiler, less the results",
    "cuda": "torch.cuda.max_memory_allocated, less what was allocated before and the results",
}

Convolution = Callable[[Tensor, Tensor, Tensor], Tensor]


def padded_convolution(signal: Tensor, filter: Tensor, bias: Tensor) -> Tensor:
    """What the published code does: rfft of both to twice the length, product, irfft, in fp32."""
    length = signal.shape[-1]
    spectrum = torch.fft.rfft(signal.float(), n=2 * length) * torch.fft.rfft(filter, n=2 * length)
    output = torch.fft.irfft(spectrum, n=2 * length)[..., :length] + bias[:, None] * signal
    return output.to(signal.dtype)


# On a CPU `auto` is the second.
METHODS: dict[str, Convolution] = {
    "auto": long_convolution,
    "right-angle torch": partial(long_convolution, backend="torch"),
    "padded torch.fft": padded_convolution,
}


def make_inputs(length: int, channels: int, tokens: int, device: torch.device, dtype: torch.dtype) -> list[Tensor]:
    """Signal, a filter that decays over the whole length as HyenaDNA's do, bias."""
    torch.manual_seed(length)
    batch = max(tokens // length, 1)
    decay = torch.exp(-torch.linspace(3.07, 15.35, channels)[:, None] * torch.linspace(0, 1, length))
    filter = torch.randn(channels, length) * (decay + 0.05) / length**0.5
    tensors = [torch.randn(batch, channels, length).to(dtype), filter, torch.randn(channels)]
    return [tensor.to(device).requires_grad_() for tensor in tensors]


def outcome(method: Convolution, inputs: list[Tensor], weight: Tensor, backward: bool) -> list[Tensor]:
    output = method(*inputs)
    if not backward:
        return [output.detach()]
    return [output.detach(), *torch.autograd.grad(output, inputs, weight)]


def check(inputs: list[Tensor], weight: Tensor) -> dict[str, float]:
    """Relative errors against float64; exits where one is high.

    The call is the one that is timed, with all its chunks; its first, middle and last channels are compared. `start` is
    that of the first thousandth of positions, `leak` the change of the first half when the second half changes.
    """
    channels = sorted({0, inputs[1].shape[0] // 2, inputs[1].shape[0] - 1})
    found = channels_of(outcome(long_convolution, inputs, weight, backward=True), channels)
    exact = [tensor.detach().double().requires_grad_() for tensor in channels_of(inputs, channels)]
    expected = outcome(padded_float64, exact, weight[:, channels].double(), backward=True)
    names = ("output", "signal gradient", "filter gradient", "bias gradient")
    errors = {name: distance(a, b) for name, a, b in zip(names, found, expected, strict=True)}
    length = weight.shape[-1]
    errors["start"] = distance(*(value[0][..., : max(1, length // 1000)] for value in (found, expected)))
    changed = inputs[0].detach().clone()
    changed[..., length // 2 :].neg_()
    past = channels_of([long_convolution(changed, *(value.detach() for value in inputs[1:]))], channels)[0]
    errors["leak"] = distance(past[..., : length // 2], found[0][..., : length // 2])
    if not max(errors.values()) <= TOLERANCE[inputs[0].dtype]:
        sys.exit(f"the convolution is wrong at length {length:,}: {errors}")
    return errors


def distance(found: Tensor, expected: Tensor) -> float:
    """|found - expected| / |expected|."""
    expected = expected.double()
    return float((found.double() - expected).norm() / expected.norm())


def channels_of(tensors: list[Tensor], channels: list[int]) -> list[Tensor]:
    """Some channels of tensors [B, D, L], [D, L] or [D]."""
    return [tensor[:, channels] if tensor.dim() == 3 else tensor[channels] for tensor in tensors]


def padded_float64(signal: Tensor, filter: Tensor, bias: Tensor) -> Tensor:
    length = signal.shape[-1]
    spectrum = torch.fft.rfft(signal, n=2 * length) * torch.fft.rfft(filter, n=2 * length)
    return torch.fft.irfft(spectrum, n=2 * length)[..., :length] + bias[:, None] * signal


def measure(run: Callable[[], Any], device: torch.device) -> float:
    """Median milliseconds of a call; on a GPU of calls queued one behind another, as in a training step."""
    run()
    if device.type == "cuda":
        marks = []
        for _ in range(REPEATS):
            begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
            begin.record()
            run()
            end.record()
            marks.append((begin, end))
        torch.cuda.synchronize()
        times = [begin.elapsed_time(end) for begin, end in marks]
    else:
        for _ in range(REPEATS):
            started = time.perf_counter()
            run()
            times.append((time.perf_counter() - started) * 1e3)
    return statistics.median(times)


def peak_bytes(run: Callable[[], list[Tensor]], device: torch.device) -> int:
    """Most memory alive during a call beyond its inputs and its results."""
    if device.type == "cuda":
        torch.cuda.synchronize()
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        results = run()
        peak = torch.cuda.max_memory_allocated() - before
    else:
        with profile(activities=[ProfilerActivity.CPU], profile_memory=True, acc_events=True) as recorded:
            results = run()
        peak = _profiled_peak(recorded)
    return peak - sum(tensor.nbytes for tensor in results)


def _profiled_peak(recorded: Any) -> int:
    """The highest running sum of the CPU allocator's events."""
    events = recorded.profiler.kineto_results.events()
    changes = sorted((event.start_ns(), event.nbytes()) for event in events if event.name() == "[memory]")
    alive = peak = 0
    for _, size in changes:
        alive += size
        peak = max(peak, alive)
    return peak


def compare(length: int, channels: int, tokens: int, device: torch.device, dtype: torch.dtype) -> dict[str, Any]:
    inputs = make_inputs(length, channels, tokens, device, dtype)
    weight = torch.randn_like(inputs[0])
    row: dict[str, Any] = {"length": length, "batch": inputs[0].shape[0], "errors": check(inputs, weight)}
    for name, method in METHODS.items():
        for kind, backward in (("forward", False), ("forward+backward", True)):

            def run(method: Convolution = method, backward: bool = backward) -> list[Tensor]:
                return outcome(method, inputs, weight, backward)

            row[f"{name}, {kind}, ms"] = measure(run, device)
            row[f"{name}, {kind}, MiB"] = peak_bytes(run, device) / 2**20
    return row


def print_table(rows: list[dict[str, Any]]) -> None:
    print("      length  batch    error | forward + backward ms: auto, torch, padded | MiB beyond inputs and results")
    for row in rows:
        times, memory = ([row[f"{name}, forward+backward, {unit}"] for name in METHODS] for unit in ("ms", "MiB"))
        print(
            f"{row['length']:>12,} {row['batch']:>6} {max(row['errors'].values()):8.1e} | "
            f"{times[0]:8.2f} {times[1]:8.2f} {times[2]:8.2f} ({times[2] / times[0]:4.1f} times) | "
            f"{memory[0]:8.0f} {memory[1]:8.0f} {memory[2]:8.0f} ({memory[2] / memory[0]:4.1f} times)"
        )


def plot(rows: list[dict[str, Any]], machine: dict[str, str], path: Path) -> None:
    figure, axes = pyplot.subplots(1, 2, figsize=(10, 4), layout="constrained")
    lengths = [row["length"] for row in rows]
    for axis, unit in zip(axes, ("ms", "MiB"), strict=True):
        for name in METHODS:
            axis.plot(lengths, [row[f"{name}, forward+backward, {unit}"] for row in rows], marker=".", label=name)
        axis.set_xscale("log", base=2)
        axis.set_yscale("log")
        axis.set_xlabel("length (bases)")
        axis.legend()
    axes[0].set_ylabel("forward + backward (ms)")
    axes[1].set_ylabel("peak memory beyond inputs and results (MiB)")
    figure.suptitle(f"Long convolution on {machine['device']}")
    figure.savefig(path, dpi=150)


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--channels", type=int, help="default 256 on a GPU, 32 on a CPU")
    parser.add_argument("--tokens", type=int, help="batch times length; default 2^20 on a GPU, 2^18 on a CPU")
    parser.add_argument("--quick", action="store_true", help="three lengths, nothing written")
    parser.add_argument("--output", type=Path, default=ROOT / "benchmarks" / "results", help="where JSON and PNG go")
    parser.add_argument("--commit", help="commit of this tree, where it has no repository")
    return parser.parse_args()


def main() -> None:
    arguments = parse_arguments()
    on_gpu = arguments.device == "cuda"
    channels = arguments.channels or (256 if on_gpu else 32)
    tokens = arguments.tokens or (2**20 if on_gpu else 2**18)
    dtype = torch.bfloat16 if on_gpu else torch.float32
    device = torch.device(arguments.device)
    lengths = QUICK_LENGTHS if arguments.quick else GPU_LENGTHS if on_gpu else CPU_LENGTHS
    rows = [compare(length, channels, tokens, device, dtype) for length in lengths]
    print_table(rows)
    if arguments.quick:
        return
    result = {
        "command": f"python benchmarks/convolution.py --device {arguments.device}",
        "threads": torch.get_num_threads(),
        "memory": MEMORY[arguments.device],
        "channels": channels,
        "tokens": tokens,
        "dtype": str(dtype).removeprefix("torch."),
        "rows": rows,
        "machine": describe_machine(arguments.commit),
    }
    arguments.output.mkdir(parents=True, exist_ok=True)
    stem = arguments.output / f"convolution_{arguments.device}"
    stem.with_suffix(".json").write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    plot(rows, result["machine"], stem.with_suffix(".png"))


if __name__ == "__main__":
    main()
