"""A model by any of its addresses: a run, a checkpoint, an export, published weights, or a name on the hub."""

import re
from dataclasses import dataclass
from pathlib import Path

from huggingface_hub import snapshot_download
from huggingface_hub.errors import HfHubHTTPError, HFValidationError
from torch import Tensor

from hyena_ds.engine.checkpoint_store import MANIFEST_NAME
from hyena_ds.errors import InputError
from hyena_ds.hub.import_weights import ORIGINAL_NAME, SAFETENSORS_NAME, import_weights
from hyena_ds.hub.public_config import CONFIG_NAME, read_public_config
from hyena_ds.hub.run_directory import CHECKPOINTS_NAME, NO_SOURCES, read_trained_model
from hyena_ds.hub.task_head import TaskHead, head_of_export
from hyena_ds.model.config import ModelConfig

HUB_ID = re.compile(r"[\w.-]+/[\w.-]+")
WEIGHT_FILES = [CONFIG_NAME, SAFETENSORS_NAME, ORIGINAL_NAME]


@dataclass(frozen=True)
class PretrainedModel:
    """A model to start from: see `export_huggingface` for the first three; `head` is that of its task, if any.

    `source` says where it came from, `notes` what the user should know of it.
    """

    parameters: dict[str, Tensor]
    tables: dict[str, Tensor]
    config: ModelConfig
    head: TaskHead | None
    source: str
    notes: tuple[str, ...]


def read_pretrained(source: str | Path, *, filter_shift: float | None = None) -> PretrainedModel:
    """The model at `source`: a run directory, one of its checkpoints, an export, published weights, or a hub id.

    `filter_shift` replaces that of published weights, whose original configs do not say it. Raises InputError where
    there is nothing to open, where what is there is damaged, and where a hub id cannot be fetched.
    """
    path = Path(source)
    if not path.exists():
        path = _download(str(source))
    if (path / CHECKPOINTS_NAME).is_dir() or (path / MANIFEST_NAME).is_file() or path.name == CHECKPOINTS_NAME:
        return _from_run(path)
    if runs := sorted(found.parent for found in path.glob(f"*/{CHECKPOINTS_NAME}")):
        raise InputError(f"{path} holds {len(runs)} runs; name one of them, such as {runs[0]}")
    if path.is_dir() and not (path / CONFIG_NAME).is_file():
        raise InputError(f"{path} is neither a run directory (checkpoints/) nor an exported model ({CONFIG_NAME})")
    imported = import_weights(path, filter_shift=filter_shift)
    head = head_of_export(imported.decoder, read_public_config(path if path.is_dir() else path.parent))
    return PretrainedModel(imported.parameters, imported.tables, imported.config, head, imported.source, imported.notes)


def _from_run(path: Path) -> PretrainedModel:
    trained = read_trained_model(path)
    notes = tuple(note for note in trained.notes if note != NO_SOURCES)
    return PretrainedModel(trained.parameters, trained.tables, trained.config, trained.head, str(trained.path), notes)


def _download(source: str) -> Path:
    if not HUB_ID.fullmatch(source):
        raise InputError(f"no model at {source}; give a run directory, an export, a .ckpt file or a hub id owner/name")
    try:
        return Path(snapshot_download(source, allow_patterns=WEIGHT_FILES))
    except (HfHubHTTPError, HFValidationError, OSError) as error:
        reason = str(error).strip().splitlines()[0]
        raise InputError(
            f"no directory {source} here, and as a Hugging Face hub id it cannot be fetched ({reason}); "
            "check the name, or download it where there is a network and give the directory"
        ) from None
