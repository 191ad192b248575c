"""Run directories seen from the hub: one made of imported weights, and the model that a run has trained."""

import dataclasses
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from torch import Tensor

from hyena_ds.config.load import read_yaml
from hyena_ds.engine.checkpoint_store import (
    CONFIG_NAME,
    Checkpoint,
    newest_checkpoint,
    read_checkpoint,
    save_tensors,
    write_checkpoint,
)
from hyena_ds.errors import InputError
from hyena_ds.genome.index import read_index
from hyena_ds.hub.import_weights import ImportedModel
from hyena_ds.hub.model_card import DataSource, ModelCard
from hyena_ds.hub.output_directory import new_directory
from hyena_ds.hub.public_config import build_model_config
from hyena_ds.hub.task_head import TaskHead, head_of_run, head_tensors
from hyena_ds.model.config import ModelConfig
from hyena_ds.model.parameters import is_table

CHECKPOINTS_NAME = "checkpoints"
BEST_NAME = "best"  # the best scored state of a fine-tuning run
METRICS_NAME = "metrics.jsonl"
ORIGIN_NAME = "imported.json"
DECODER_NAME = "decoder.safetensors"
NO_SOURCES = "the run's data directory is not here, so the model card cannot name the training data"


@dataclass(frozen=True)
class TrainedModel:
    """A checkpoint ready for export: see `export_huggingface` for the first three.

    `path` is the checkpoint's directory; `notes` say which newer ones were passed over and what is not known; `head` is
    that of a fine-tuned model.
    """

    parameters: dict[str, Tensor]
    tables: dict[str, Tensor]
    config: ModelConfig
    card: ModelCard
    path: Path
    notes: tuple[str, ...]
    head: TaskHead | None = None


def write_imported_run(imported: ImportedModel, output: Path) -> None:
    """Make `output` a run directory whose checkpoint of step 0 holds imported weights.

    Heads of a fine-tuned model lie beside it in `decoder.safetensors`. Raises InputError where `output` exists.
    """
    config = yaml.safe_dump({"model": dataclasses.asdict(imported.config)}, sort_keys=False)
    checkpoint = Checkpoint(step=0, parameters={**imported.parameters, **imported.tables}, config=config)
    with new_directory(output) as aside:
        write_checkpoint(aside / CHECKPOINTS_NAME, checkpoint)
        origin = {"source": imported.source, "notes": imported.notes}
        (aside / ORIGIN_NAME).write_text(json.dumps(origin, indent=2) + "\n", encoding="utf-8")
        (aside / CONFIG_NAME).write_text(config, encoding="utf-8")
        if imported.decoder:
            head = {name: tensor.contiguous() for name, tensor in imported.decoder.items()}
            save_tensors(head, aside / DECODER_NAME)


def read_trained_model(path: Path) -> TrainedModel:
    """The best state of a fine-tuning run, else the newest good checkpoint of a run directory, or the one at `path`.

    Raises InputError where there is none, or where it does not hold what its manifest says.
    """
    chosen, notes = _find_checkpoint(path)
    checkpoint = read_checkpoint(chosen)
    place = chosen / CONFIG_NAME
    values = read_yaml(place)
    if not isinstance(values.get("model"), dict):
        raise InputError(f"{place} has no model section; is {chosen} a checkpoint of this project?")
    run_directory = chosen.parent.parent
    card = _card(checkpoint, values, run_directory)
    if not card.sources and card.imported_from is None and not card.task:
        notes = [*notes, NO_SOURCES]
    head = head_tensors(checkpoint.parameters)
    model = checkpoint.parameters.keys() - head.keys()
    return TrainedModel(
        parameters={name: checkpoint.parameters[name] for name in sorted(model) if not is_table(name)},
        tables={name: tensor for name, tensor in checkpoint.parameters.items() if is_table(name)},
        config=build_model_config(f"{place}: model", values["model"]),
        card=card,
        path=chosen,
        notes=tuple(notes),
        head=head_of_run(head, values),
    )


def _find_checkpoint(path: Path) -> tuple[Path, list[str]]:
    if not path.is_dir():
        raise InputError(f"no run or checkpoint directory at {path}")
    for name in (BEST_NAME, CHECKPOINTS_NAME):
        if (path / name).is_dir():
            path = path / name
            break
    found, passed_over = newest_checkpoint(path)
    if found is not None:
        return found, passed_over
    if (path / CONFIG_NAME).is_file() and path.name not in (BEST_NAME, CHECKPOINTS_NAME):
        return path, []
    raise InputError(f"{path} holds no checkpoint; give a run directory such as runs/demo after its first checkpoint")


def _card(checkpoint: Checkpoint, values: dict[str, Any], run_directory: Path) -> ModelCard:
    validation = _last_validation(run_directory / METRICS_NAME, checkpoint.step)
    return ModelCard(
        sources=_sources(values),
        steps=checkpoint.step or None,
        tokens=checkpoint.progress.get("tokens") or None,
        perplexity=validation.get("validation_perplexity"),
        bits_per_base=validation.get("bits_per_base"),
        windows=validation.get("windows"),
        window_length=_window_length(values),
        run_config=checkpoint.config if checkpoint.step else "",
        imported_from=_origin(run_directory),
        task=_task(values),
    )


def _task(values: dict[str, Any]) -> str:
    task = values.get("task")
    return f"the task {task['name']} ({task['kind']}: {', '.join(task['classes'] or ())})" if task else ""


def _last_validation(path: Path, step: int) -> dict[str, Any]:
    """The last validation up to `step` in a metrics file; a line cut short by a crash is not read."""
    if not path.is_file():
        return {}
    lines = path.read_text(encoding="utf-8").split("\n")[:-1]
    found = [line for line in map(json.loads, filter(None, lines)) if "validation_perplexity" in line]
    return next((line for line in reversed(found) if line["step"] <= step), {})


def _window_length(values: dict[str, Any]) -> int | None:
    length = (values.get("validation") or {}).get("length")
    stages = values.get("stages")
    return length or (stages[-1].get("length") if stages else None)


def _sources(values: dict[str, Any]) -> tuple[DataSource, ...]:
    directory = (values.get("data") or {}).get("directory")
    if directory is None:
        return ()
    try:
        index = read_index(Path(directory))
    except InputError:
        return ()
    return tuple(
        DataSource(source.species, source.assembly, Path(source.file).name, sum(source.composition.values()))
        for source in index.sources
    )


def _origin(run_directory: Path) -> str | None:
    path = run_directory / ORIGIN_NAME
    return Path(json.loads(path.read_text(encoding="utf-8"))["source"]).name if path.is_file() else None
