"""Ask a task in context: `python launch/in_context.py --config configs/in_context/soft_prompt.yaml [key=value ...]`."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from hyena_ds.config.load import load_config
from hyena_ds.downstream.in_context.config import InContextConfig
from hyena_ds.downstream.in_context.run import run_in_context
from hyena_ds.errors import run_command
from launch.command_parser import command_parser

EXAMPLES = """\
examples:
  python launch/in_context.py --config configs/in_context/soft_prompt.yaml                  2,048 soft tokens
  python launch/in_context.py --config configs/in_context/soft_prompt.yaml soft_tokens=0    nothing tuned
  python launch/in_context.py --config configs/in_context/few_shot.yaml shots=16 tuning.examples=64

The sequence ends where the next token is that of its class; the likeliest of all tokens must be it (docs/tasks/
in-context.md). One process, on a GPU where there is one. The run directory then holds results.json and what was tuned.
exit codes: 0 done, 2 your input, 74 storage.
"""


def main() -> None:
    parser = command_parser(__doc__, EXAMPLES)
    parser.add_argument("--config", type=Path, required=True, help="such as configs/in_context/soft_prompt.yaml")
    parser.add_argument("overrides", nargs="*", metavar="section.key=value", help="values that replace the file's")
    arguments = parser.parse_intermixed_args()
    config = load_config(arguments.config, InContextConfig, arguments.overrides)
    results = run_in_context(config)
    print(f"{config.task.name}: {results['scores']}\ndone: {config.run_directory}/results.json")


if __name__ == "__main__":
    run_command(main)
