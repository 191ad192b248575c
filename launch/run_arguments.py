"""The options that every command with --config shares."""

import argparse
from pathlib import Path

from launch.command_parser import command_parser


def run_parser(description: str | None, examples: str, config: str) -> argparse.ArgumentParser:
    """A parser of --config (such as `config`), --dry-run, --stop-after-steps and overrides."""
    parser = command_parser(description, examples)
    parser.add_argument("--config", type=Path, required=True, help=f"the run's YAML file, such as {config}")
    parser.add_argument("--dry-run", action="store_true", help="check everything and stop before the first step")
    parser.add_argument("--stop-after-steps", type=int, metavar="N", help="save and stop once N steps are done")
    parser.add_argument("--local_rank", type=int, help=argparse.SUPPRESS)  # given by the deepspeed launcher
    parser.add_argument("overrides", nargs="*", metavar="section.key=value", help="values that replace the file's")
    return parser


def parse_run(parser: argparse.ArgumentParser) -> argparse.Namespace:
    """The options of the command line, checked."""
    arguments = parser.parse_intermixed_args()
    if arguments.stop_after_steps is not None and arguments.stop_after_steps < 1:
        parser.error(f"--stop-after-steps {arguments.stop_after_steps} must be at least 1")
    return arguments
