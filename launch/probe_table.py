"""Helical's probe on all 18 tasks: `python launch/probe_table.py --model hf/1k --output reports/probe`."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from hyena_ds.config.load import apply_override, read_yaml
from hyena_ds.downstream.tasks.catalogue import PUBLISHED, find_published
from hyena_ds.downstream.tasks.nucleotide_transformer import ORIGINAL, REVISED
from hyena_ds.downstream.tasks.probe_table import probe, probe_config, write_probe_table
from hyena_ds.errors import run_command
from launch.command_parser import command_parser

EXAMPLES = """\
examples:
  python launch/fetch.py $(python launch/fetch.py --list | grep nucleotide_transformer/)
  python launch/probe_table.py --model hf/1k --output reports/probe
  python launch/probe_table.py --model hf/1k --output reports/revised --family nucleotide_transformer_revised
  python launch/probe_table.py --model hf/1k --output reports/two --tasks H3 promoter_tata

Each task is a run of --config below --output; finished ones are not run again, and table.csv holds all: the test score
in percent with its interval, beside that of the HyenaDNA paper, which fine-tuned.
"""


def main() -> None:
    parser = command_parser(__doc__, EXAMPLES)
    parser.add_argument("--model", required=True, help="a run, an export, published weights, or a name on the hub")
    parser.add_argument("--output", type=Path, required=True, help="a directory of its own for this model")
    parser.add_argument("--data", type=Path, default=Path("data"), help="where launch/fetch.py left the tasks")
    parser.add_argument("--family", choices=[ORIGINAL, REVISED], default=ORIGINAL)
    parser.add_argument("--tasks", nargs="+", metavar="TASK", help="some of the family's tasks (default all)")
    parser.add_argument("--config", type=Path, default=Path("configs/finetune/probe_helical.yaml"))
    parser.add_argument(
        "--set", nargs="+", default=[], metavar="section.key=value", help="values in place of the file's"
    )
    arguments = parser.parse_args()
    values = read_yaml(arguments.config)
    for override in arguments.set:
        apply_override(values, override)
    family = [name for name in PUBLISHED if name.startswith(f"{arguments.family}/")]
    names = [f"{arguments.family}/{task}" for task in arguments.tasks or ()] or family
    tasks = [find_published(name) for name in names]
    configs = [probe_config(values, task, arguments.model, arguments.data, arguments.output) for task in tasks]
    rows = []
    for config in configs:
        rows.append(probe(config))
        write_probe_table(arguments.output / "table.csv", rows)
    print(f"done: {arguments.output / 'table.csv'}")


if __name__ == "__main__":
    run_command(main)
