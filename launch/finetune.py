"""Fine-tune HyenaDNA: `deepspeed launch/finetune.py --config configs/finetune/demo.yaml [section.key=value ...]`."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from hyena_ds.config.load import load_config
from hyena_ds.downstream.config import FineTuneConfig
from hyena_ds.downstream.finetune import fine_tune
from hyena_ds.errors import run_command
from hyena_ds.parallel.environment import read_environment
from launch.run_arguments import parse_run, run_parser

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

The run directory then holds results.json, results.csv, predictions, plots, and an export that carries the head;
launch/predict.py --model RUN uses it. The same command starts a run and resumes it; finished seeds and folds are not
run again.
exit codes: 0 done, 2 your input, 74 storage (the run is intact), 75 start me again: stopped and saved, or a rank
was lost and the last checkpoint stands.
In Python: HyenaDNA.from_pretrained("hf/1k").fine_tune("mine.csv", "runs/mine", kind="binary").predict(["ACGT"])
"""


def main() -> int:
    arguments = parse_run(run_parser(__doc__, EXAMPLES, "configs/finetune/demo.yaml"))
    config = load_config(arguments.config, FineTuneConfig, arguments.overrides)
    return fine_tune(config, read_environment(), dry_run=arguments.dry_run, stop_after_steps=arguments.stop_after_steps)


if __name__ == "__main__":
    run_command(main, speaks=read_environment().is_main)
