"""Fine-tune HyenaDNA: `deepspeed launch/finetune.py --config configs/finetune/demo.yaml [section.key=value ...]`."""

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from hyena_ds.config.load import load_config
from hyena_ds.downstream.config import FineTuneConfig
from hyena_ds.downstream.finetune import fine_tune
from hyena_ds.errors import run_command
from hyena_ds.parallel.environment import read_environment

EXAMPLES = """\
examples:
  python launch/finetune.py --config configs/finetune/demo.yaml                  one process, CPU or GPU
  deepspeed launch/finetune.py --config configs/finetune/demo.yaml               all GPUs of this machine
  python launch/finetune.py --config configs/finetune/demo.yaml --dry-run        every check, no step
  python launch/finetune.py --config configs/finetune/demo.yaml method=frozen run_directory=runs/frozen
  python launch/finetune.py --config configs/finetune/demo.yaml seeds='[1, 2, 3]' split.folds=5

your own task needs a table and these lines of a config (docs/fine-tuning.md has every form of data):
  task: {name: mine, kind: binary}        binary, multiclass, multilabel, regression or position
  data: {train: train.csv, test: test.csv}     columns sequence and label
  start: {checkpoint: hf/1k}              a run, an export, published weights, or a name on the hub

The run directory then holds results.json, results.csv, predictions, plots, and an export that carries the head.
The same command starts a run and resumes it; finished seeds and folds are not run again.
exit codes: 0 done, 2 your input, 74 storage (the run is intact), 75 start me again: stopped and saved, or a rank
was lost and the last checkpoint stands.
"""


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, epilog=EXAMPLES, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--config", type=Path, required=True, help="the YAML file, such as configs/finetune/demo.yaml")
    parser.add_argument("--dry-run", action="store_true", help="check everything and stop before the first step")
    parser.add_argument("--stop-after-steps", type=int, metavar="N", help="save and stop once N steps are done")
    parser.add_argument("--local_rank", type=int, help=argparse.SUPPRESS)  # given by the deepspeed launcher
    parser.add_argument("overrides", nargs="*", metavar="section.key=value", help="values that replace the file's")
    arguments = parser.parse_intermixed_args()
    if arguments.stop_after_steps is not None and arguments.stop_after_steps < 1:
        parser.error(f"--stop-after-steps {arguments.stop_after_steps} must be at least 1")
    return arguments


def main() -> int:
    arguments = parse_arguments()
    config = load_config(arguments.config, FineTuneConfig, arguments.overrides)
    return fine_tune(config, read_environment(), dry_run=arguments.dry_run, stop_after_steps=arguments.stop_after_steps)


if __name__ == "__main__":
    run_command(main, speaks=read_environment().is_main)
