"""Pretrain HyenaDNA: `deepspeed launch/pretrain.py --config configs/1m.yaml [section.key=value ...]`."""

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from hyena_ds.config.load import load_config
from hyena_ds.errors import EXIT_DONE, run_command
from hyena_ds.parallel.environment import read_environment
from hyena_ds.training.check import check_run
from hyena_ds.training.config import RunConfig
from hyena_ds.training.pretrain import pretrain
from launch.run_arguments import parse_run, run_parser

EXAMPLES = """\
examples:
  python launch/pretrain.py --config configs/demo.yaml                 one process, CPU or GPU
  deepspeed launch/pretrain.py --config configs/1m.yaml                all GPUs of this machine
  deepspeed --num_accelerators 2 launch/pretrain.py --config configs/demo.yaml engine.zero_stage=2
  python launch/pretrain.py --config configs/1m.yaml --dry-run         every check, no step
  deepspeed launch/pretrain.py --config configs/1m.yaml --preflight    first one step of every stage: does it fit?

The same command starts a run and resumes it: where run_directory holds checkpoints, the newest good one is taken.
Any value of the file can be set as section.key=value; stages.0.steps=100 reaches into a list.
exit codes: 0 done, 2 your input, 74 storage (the run is intact), 75 start me again: stopped and saved, or a rank
was lost and the last checkpoint stands.
"""


def parse_arguments() -> argparse.Namespace:
    parser = run_parser(__doc__, EXAMPLES, "configs/1k.yaml")
    parser.add_argument("--preflight", action="store_true", help="measure a step of every stage first: memory and time")
    parser.add_argument("--print-run-directory", action="store_true", help="check everything, print only run_directory")
    return parse_run(parser)


def main() -> int:
    arguments = parse_arguments()
    config = load_config(arguments.config, RunConfig, arguments.overrides)
    if arguments.print_run_directory:
        print(check_run(config, read_environment()).directory)
        return EXIT_DONE
    return pretrain(
        config,
        read_environment(),
        dry_run=arguments.dry_run,
        measure_first=arguments.preflight,
        stop_after_steps=arguments.stop_after_steps,
    )


if __name__ == "__main__":
    run_command(main, speaks=read_environment().is_main)
