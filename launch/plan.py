"""What a run will take, without a GPU: `python launch/plan.py --config configs/1m.yaml --gpus 8 --gpu-memory 80`."""

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from hyena_ds.config.load import load_config
from hyena_ds.errors import EXIT_DONE, run_command
from hyena_ds.parallel.dimensions import ParallelDimensions
from hyena_ds.training.advice import advise, fits, forecast_run
from hyena_ds.training.check import dimensions_of
from hyena_ds.training.config import RunConfig
from hyena_ds.training.forecast import BANDWIDTH, StageForecast, parameter_count
from launch.command_parser import command_parser

GIB = 2**30
EXAMPLES = """\
examples:
  python launch/plan.py --config configs/1m.yaml --gpus 8 --gpu-memory 80
  python launch/plan.py --config configs/1m.yaml --gpus 4 --gpu-memory 141 parallel.sequence_parallel_size=4
  python launch/plan.py --config configs/160k.yaml --gpus 16 --gpus-per-node 8 --gpu-memory 40 --gpu a100

Memory is the peak of one GPU, for tensors; time is that of the memory bandwidth of --gpu, measured on an H200.
`deepspeed launch/pretrain.py --config ... --preflight` then measures a step of every stage on the machine itself.
"""


def parse_arguments() -> argparse.Namespace:
    parser = command_parser(__doc__, EXAMPLES)
    parser.add_argument("--config", type=Path, required=True, help="the run's YAML file, such as configs/1m.yaml")
    parser.add_argument("--gpus", type=int, default=1, metavar="N", help="GPUs of the run (default 1)")
    parser.add_argument("--gpus-per-node", type=int, metavar="N", help="GPUs of one node (default: at most 8)")
    parser.add_argument("--gpu-memory", type=float, default=80.0, metavar="G", help="of one GPU in GB (default 80)")
    parser.add_argument("--gpu", choices=sorted(BANDWIDTH), default="h100", help="sets the pace (default h100)")
    parser.add_argument("overrides", nargs="*", metavar="section.key=value", help="values that replace the file's")
    arguments = parser.parse_intermixed_args()
    for name in ("gpus", "gpus_per_node", "gpu_memory"):
        value = getattr(arguments, name)
        if value is not None and not 0 < value < float("inf"):
            parser.error(f"--{name.replace('_', '-')} {value} must be above 0")
    return arguments


def stage_line(forecast: StageForecast, memory_bytes: float) -> str:
    stage = forecast.stage
    hours = forecast.seconds * stage.steps / 3600
    verdict = "fits" if fits(forecast, memory_bytes) else "DOES NOT FIT"
    return (
        f"{stage.number:>5} {stage.length:>12,} {stage.samples:>8,} {forecast.accumulation:>6,} "
        f"{forecast.peak_bytes / GIB:>10.1f} {forecast.flops / 1e12:>13,.1f} {forecast.seconds:>8.2f} "
        f"{stage.length * stage.samples / forecast.seconds / 1e6:>10.2f} {hours:>8.1f}  {verdict}"
    )


def print_plan(config: RunConfig, dimensions: ParallelDimensions, gpu: str, memory_bytes: float) -> None:
    forecasts = forecast_run(config, dimensions, gpu)
    print(
        f"model: {parameter_count(config.model):,} parameters; {dimensions.data_parallel_size} data parallel · "
        f"{dimensions.sequence_parallel_size} sequence parallel, ZeRO {config.engine.zero_stage}, "
        f"recomputed: {config.engine.activation_checkpointing}"
    )
    print("stage       length  windows  micro-  GiB a GPU  Tflop a step  seconds  M tokens/s    hours")
    print("                     a step  batches                          a step")
    for forecast in forecasts:
        print(stage_line(forecast, memory_bytes))
    largest = max(forecasts, key=lambda forecast: forecast.peak_bytes)
    print(f"memory of stage {largest.stage.number}, the largest, in GiB on one GPU:")
    for part, size in largest.parts.items():
        print(f"  {part:<26} {size / GIB:8.2f}")
    hours = sum(forecast.seconds * forecast.stage.steps for forecast in forecasts) / 3600
    print(
        f"in all about {hours:,.0f} hours on {dimensions.world_size} {gpu.upper()}, without validation and checkpoints"
    )
    for forecast in forecasts:
        if not fits(forecast, memory_bytes):
            print(
                f"stage {forecast.stage.number} needs {forecast.peak_bytes / GIB:.1f} GiB of {memory_bytes / GIB:.1f}; "
                f"it fits with: {advise(config, dimensions, forecast.stage, memory_bytes)}"
            )


def main() -> int:
    arguments = parse_arguments()
    config = load_config(arguments.config, RunConfig, arguments.overrides)
    node = arguments.gpus_per_node or min(arguments.gpus, 8)
    dimensions = dimensions_of(config, arguments.gpus, node)
    print_plan(config, dimensions, arguments.gpu, arguments.gpu_memory * 1e9)
    return EXIT_DONE


if __name__ == "__main__":
    run_command(main)
