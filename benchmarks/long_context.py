"""Whole optimizer steps on one long sequence over all ranks: `torchrun --nproc-per-node 4 benchmarks/long_context.py`.

The published 8-layer 256-wide model in bf16, stepped by the training engine: one micro-batch of one sequence, whose
slices the ranks share. Speed is the median of the timed steps, memory the peak of rank 0.
"""

import argparse
import json
import statistics
import sys
from pathlib import Path
from typing import Any

import torch

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from benchmarks.machine import describe_machine
from hyena_ds.config.load import load_config
from hyena_ds.engine.distributed import leave, start
from hyena_ds.parallel.dimensions import ParallelDimensions
from hyena_ds.parallel.environment import read_environment
from hyena_ds.training.build import build_engine, build_model, sequence_part
from hyena_ds.training.config import RunConfig
from hyena_ds.training.preflight import measure_step


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--lengths", type=int, nargs="+", default=[2**20, 2**22], help="tokens of a sequence")
    parser.add_argument("--batch", type=int, default=1, help="sequences of a micro-batch")
    parser.add_argument("--data-parallel", action="store_true", help="a sequence a rank, instead of one over all")
    parser.add_argument("--steps", type=int, default=3, help="timed steps after one that is not")
    parser.add_argument("--output", type=Path, default=ROOT / "benchmarks" / "results", help="where the JSON goes")
    parser.add_argument("--name", default="long_context", help="of the result file; the number of ranks is added")
    parser.add_argument("--commit", help="commit of this tree, where it has no repository")
    parser.add_argument("overrides", nargs="*", metavar="section.key=value", help="values for configs/1m.yaml")
    return parser.parse_args()


def config_for(length: int, batch: int, sequence_parallel_size: int, overrides: list[str]) -> RunConfig:
    words = [
        f"model.l_max={length + 2}",
        f"stages=[{{length: {length}, steps: 1, micro_batch: {batch}}}]",
        f"batch.tokens_per_step={length * batch}",
        f"parallel.sequence_parallel_size={sequence_parallel_size}",
        "validation.windows=0",
    ]
    return load_config(ROOT / "configs" / "1m.yaml", RunConfig, [*words, *overrides])


def main() -> None:
    arguments = parse_arguments()
    environment = read_environment()
    device = start(environment)
    world = environment.world_size
    dimensions = ParallelDimensions(world, 1 if arguments.data_parallel else world)
    sequence = sequence_part(dimensions, environment.rank)
    rows: list[dict[str, Any]] = []
    for length in arguments.lengths:
        config = config_for(length, arguments.batch, dimensions.sequence_parallel_size, arguments.overrides)
        try:
            engine = build_engine(build_model(config, sequence), config, 1, device)
            measured = [
                measure_step(engine, sequence, batch=arguments.batch, length=length) for _ in range(1 + arguments.steps)
            ][1:]
        except torch.OutOfMemoryError as error:
            print(f"{length:,}: out of memory: {str(error).splitlines()[0][:300]}", flush=True)
            break
        seconds = statistics.median(step.seconds for step in measured)
        tokens = length * arguments.batch * dimensions.data_parallel_size
        row = {
            "ranks": world,
            "sequence_parallel_size": dimensions.sequence_parallel_size,
            "length": length,
            "batch": arguments.batch,
            "seconds": seconds,
            "tokens_per_second": tokens / seconds,
            "peak_gib": max(step.peak_bytes for step in measured) / 2**30,
            "overrides": arguments.overrides,
        }
        rows.append(row)
        engine.close()
        if environment.is_main:
            print(json.dumps(row), flush=True)
            result = {"rows": rows, "machine": describe_machine(arguments.commit)}
            path = arguments.output / f"{arguments.name}_{world}.json"
            path.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    leave()


if __name__ == "__main__":
    main()
