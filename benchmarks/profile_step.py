"""Where a training step spends its time: `python benchmarks/profile_step.py --lengths 1024 32768 1048576`.

The published 8-layer 256-wide model, stepped by the training engine as in `benchmarks/long_context.py`. Time by part of
the model is that of one profiled step; what the median step takes longer than its kernels is idle.
"""

import argparse
import json
import statistics
import sys
from pathlib import Path
from typing import Any

import torch
from torch.profiler import ProfilerActivity, profile

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from benchmarks.kernel_groups import Group, GroupTime, group_times, marked_model
from benchmarks.long_context import config_for
from benchmarks.machine import describe_machine
from benchmarks.step_floor import floor_milliseconds
from hyena_ds.engine.distributed import leave, start
from hyena_ds.engine.engine import TrainingEngine
from hyena_ds.model.sequence import WholeSequence
from hyena_ds.parallel.environment import read_environment
from hyena_ds.training.build import build_engine, build_model
from hyena_ds.training.preflight import measure_step

KERNELS_KEPT = 8


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--lengths", type=int, nargs="+", default=[2**10, 2**15, 2**20], help="tokens of a sequence")
    parser.add_argument("--tokens", type=int, default=2**20, help="of a micro-batch, as whole sequences")
    parser.add_argument("--steps", type=int, default=3, help="timed steps, after two that are not")
    parser.add_argument("--output", type=Path, default=ROOT / "benchmarks" / "results", help="where the JSON goes")
    parser.add_argument("--name", default="profile_step", help="of the result file")
    parser.add_argument("--commit", help="commit of this tree, where it has no repository")
    parser.add_argument("overrides", nargs="*", metavar="section.key=value", help="values for configs/1m.yaml")
    return parser.parse_args()


def profiled_step(engine: TrainingEngine, batch: int, length: int, steps: int) -> dict[str, Any]:
    """Seconds of the median step, and milliseconds by part of the model of one more."""
    sequence = WholeSequence()
    with marked_model():
        measured = [measure_step(engine, sequence, batch=batch, length=length) for _ in range(2 + steps)][2:]
        activities = [ProfilerActivity.CPU]
        if engine.device.type == "cuda":
            activities.append(ProfilerActivity.CUDA)
        with profile(activities=activities) as profiler:
            measure_step(engine, sequence, batch=batch, length=length)
    seconds = statistics.median(step.seconds for step in measured)
    times = group_times(profiler.events())
    busy = sum(time.milliseconds for time in times.values())
    return {
        "seconds": seconds,
        "tokens_per_second": batch * length / seconds,
        "peak_gib": max(step.peak_bytes for step in measured) / 2**30,
        "groups": {group.value: _described(times.get(group, GroupTime())) for group in Group},
        "idle_milliseconds": max(0.0, seconds * 1e3 - busy),
    }


def _described(time: GroupTime) -> dict[str, Any]:
    kernels = [
        {"name": name, "milliseconds": milliseconds, "launches": time.launches[name]}
        for name, milliseconds in time.kernels.most_common(KERNELS_KEPT)
    ]
    return {"milliseconds": time.milliseconds, "launches": time.launches.total(), "kernels": kernels}


def print_table(row: dict[str, Any]) -> None:
    total = row["seconds"] * 1e3
    print(
        f"\nlength {row['length']:,}, batch {row['batch']}: {total:.1f} ms a step, "
        f"{row['tokens_per_second'] / 1e6:.2f} M tokens/s, {row['peak_gib']:.1f} GiB"
    )
    print(f"{'part':26}{'ms':>10}{'share':>8}{'floor ms':>10}{'launches':>10}")
    for name, time in row["groups"].items():
        floor = row["floor_milliseconds"].get(name)
        share = time["milliseconds"] / total
        known = "" if floor is None else f"{floor:.2f}"
        print(f"{name:26}{time['milliseconds']:10.2f}{share:8.1%}{known:>10}{time['launches']:10}")
    print(f"{'idle':26}{row['idle_milliseconds']:10.2f}{row['idle_milliseconds'] / total:8.1%}", flush=True)


def main() -> None:
    arguments = parse_arguments()
    device = start(read_environment())
    rows: list[dict[str, Any]] = []
    for length in arguments.lengths:
        batch = max(1, arguments.tokens // length)
        config = config_for(length, batch, 1, arguments.overrides)
        try:
            engine = build_engine(build_model(config, WholeSequence()), config, 1, device)
            count = sum(parameter.numel() for parameter in engine.parameters.values())
            row = profiled_step(engine, batch, length, arguments.steps)
        except torch.OutOfMemoryError as error:
            print(f"{length:,}: out of memory: {str(error).splitlines()[0][:300]}", flush=True)
            break
        floor = floor_milliseconds(config.model, length, batch, count)
        row = {
            "length": length,
            "batch": batch,
            "overrides": arguments.overrides,
            **row,
            "floor_milliseconds": {group.value: milliseconds for group, milliseconds in floor.items()},
        }
        rows.append(row)
        engine.close()
        print_table(row)
        result = {"rows": rows, "machine": describe_machine(arguments.commit)}
        path = arguments.output / f"{arguments.name}.json"
        path.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    leave()


if __name__ == "__main__":
    main()
