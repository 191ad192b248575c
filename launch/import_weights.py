"""Import published weights: `python launch/import_weights.py --source weights.ckpt --output runs/imported`."""

import argparse
import dataclasses
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from hyena_ds.errors import run_command
from hyena_ds.hub.import_weights import ImportedModel, import_weights
from hyena_ds.hub.output_directory import check_output
from hyena_ds.hub.run_directory import write_imported_run
from hyena_ds.model.config import ModelConfig
from launch.command_parser import command_parser

EXAMPLES = """\
examples:
  python launch/import_weights.py --source downloads/hyenadna-tiny-1k-seqlen --output runs/imported
  python launch/import_weights.py --source downloads/hyenadna-tiny-1k-seqlen/weights.ckpt --output runs/imported
  python launch/import_weights.py --source downloads/hyenadna-small-32k-seqlen-hf --output runs/imported

--source is an original directory (config.json and weights.ckpt, either activation-checkpointing flag, fine-tuned ones
too), its .ckpt file, or a Hugging Face directory (config.json and model.safetensors). A .ckpt is a pickle: it is read
without running anything it says.

--output becomes a run directory with a checkpoint of step 0. From there:
  python launch/export.py --checkpoint runs/imported --output hf/imported
  deepspeed launch/pretrain.py --config YOUR.yaml run_directory=runs/imported     with the model section printed here

exit codes: 0 done, 2 your input, 74 storage.
"""


def parse_arguments() -> argparse.Namespace:
    parser = command_parser(__doc__, EXAMPLES)
    parser.add_argument("--source", type=Path, required=True, help="published weights: a directory or a .ckpt file")
    parser.add_argument("--output", type=Path, required=True, help="the run directory to make")
    parser.add_argument(
        "--filter-shift",
        type=float,
        metavar="S",
        help="replaces the config's: 0.05 in all public inference code (and here), 0.0 in the training code of 2023",
    )
    return parser.parse_args()


def main() -> None:
    arguments = parse_arguments()
    check_output(arguments.output, overwrite=False)
    imported = import_weights(arguments.source, filter_shift=arguments.filter_shift)
    for note in imported.notes:
        print(f"note: {note}", file=sys.stderr)
    write_imported_run(imported, arguments.output)
    print(f"wrote {arguments.output}: {describe(imported)}, checkpoint of step 0")
    print("model section for a config that trains on from here:\n" + model_section(imported.config))
    print(f"export it: python launch/export.py --checkpoint {arguments.output} --output hf/{arguments.output.name}")


def describe(imported: ImportedModel) -> str:
    count = sum(tensor.numel() for tensor in imported.parameters.values())
    config = imported.config
    return f"{config.n_layer} layers, width {config.d_model}, {count:,} parameters, l_max {config.l_max:,} tokens"


def model_section(config: ModelConfig) -> str:
    """The YAML lines of what differs from the defaults."""
    lines = ["model:"]
    for field in dataclasses.fields(config):
        value = getattr(config, field.name)
        if value != field.default:
            lines.append(f"  {field.name}: {str(value).lower() if isinstance(value, bool) else value}")
    return "\n".join(lines)


if __name__ == "__main__":
    run_command(main)
