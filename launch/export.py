"""Export a run for transformers: `python launch/export.py --checkpoint runs/1m --output hf/1m`."""

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from hyena_ds.errors import InputError, run_command
from hyena_ds.hub.export import export_huggingface, export_original
from hyena_ds.hub.output_directory import check_output
from hyena_ds.hub.public_config import public_code_differences
from hyena_ds.hub.run_directory import TrainedModel, read_trained_model
from launch.command_parser import command_parser

EXAMPLES = """\
examples:
  python launch/export.py --checkpoint runs/demo --output hf/demo          the newest good checkpoint of a run
  python launch/export.py --checkpoint runs/demo/checkpoints/step-00000200 --output hf/demo-200
  python launch/export.py --checkpoint runs/demo --output original/demo --format original --checkpoint-mixer

--format huggingface (the default) writes model.safetensors in the published layout, the config, the tokenizer, the
modeling code and a model card filled from the run. Open it offline with:
  AutoModelForCausalLM.from_pretrained("hf/demo", trust_remote_code=True)
--format original writes weights.ckpt and config.json as the repositories of 2023 have them; --checkpoint-mixer and
--checkpoint-mlp name the parameters as models trained with these flags do.

The output appears complete or not at all. exit codes: 0 done, 2 your input, 74 storage.
"""


def parse_arguments() -> argparse.Namespace:
    parser = command_parser(__doc__, EXAMPLES)
    parser.add_argument("--checkpoint", type=Path, required=True, help="a run directory, or one checkpoint in it")
    parser.add_argument("--output", type=Path, required=True, help="the directory to write")
    parser.add_argument("--format", choices=("huggingface", "original"), default="huggingface")
    parser.add_argument("--checkpoint-mixer", action="store_true", help="original format: `.mixer.layer.` in the names")
    parser.add_argument("--checkpoint-mlp", action="store_true", help="original format: `.mlp.layer.` in the names")
    parser.add_argument("--overwrite", action="store_true", help="replace an export that stands at --output")
    return parser.parse_args()


def main() -> None:
    arguments = parse_arguments()
    if arguments.format == "huggingface" and (arguments.checkpoint_mixer or arguments.checkpoint_mlp):
        raise InputError("--checkpoint-mixer and --checkpoint-mlp belong to --format original; leave them out")
    check_output(arguments.output, overwrite=arguments.overwrite)
    model = read_trained_model(arguments.checkpoint)
    for note in model.notes:
        print(f"note: {note}", file=sys.stderr)
    print(f"exporting {model.path}: {model.config.n_layer} layers, width {model.config.d_model}")
    if arguments.format == "huggingface":
        write_huggingface(model, arguments)
    else:
        write_original(model, arguments)


def write_huggingface(model: TrainedModel, arguments: argparse.Namespace) -> None:
    output: Path = arguments.output
    for difference in public_code_differences(model.config):
        print(f"warning: the published remote code would disagree with this export: {difference}", file=sys.stderr)
    export_huggingface(
        model.parameters,
        model.tables,
        model.config,
        output,
        model.card,
        head=model.head,
        overwrite=arguments.overwrite,
    )
    size = (output / "model.safetensors").stat().st_size
    print(f"wrote {output}: model.safetensors of {size:,} bytes, config, tokenizer, code and model card")
    print(f'open it: AutoModelForCausalLM.from_pretrained("{output}", trust_remote_code=True)')


def write_original(model: TrainedModel, arguments: argparse.Namespace) -> None:
    export_original(
        model.parameters,
        model.tables,
        model.config,
        arguments.output,
        checkpoint_mixer=arguments.checkpoint_mixer,
        checkpoint_mlp=arguments.checkpoint_mlp,
        overwrite=arguments.overwrite,
    )
    print(f"wrote {arguments.output}: weights.ckpt and config.json in the original layout")


if __name__ == "__main__":
    run_command(main)
