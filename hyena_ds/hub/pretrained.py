"""A model by any of its addresses: a run, a checkpoint, an export, published weights, or a name on the hub."""

import re
from dataclasses import dataclass
from pathlib import Path

from huggingface_hub import snapshot_download
from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError, OfflineModeIsEnabled
from torch import Tensor

from hyena_ds.engine.checkpoint_store import MANIFEST_NAME
from hyena_ds.errors import InputError
from hyena_ds.hub.import_weights import ORIGINAL_NAME, SAFETENSORS_NAME, import_weights
from hyena_ds.hub.public_config import CONFIG_NAME, read_public_config
from hyena_ds.hub.run_directory import CHECKPOINTS_NAME, read_trained_model
from hyena_ds.hub.task_head import TaskHead, head_of_export
from hyena_ds.model.config import ModelConfig

HUB_NAME = re.compile(r"^[\w.-]+/[\w.-]+$")
WEIGHT_FILES = [CONFIG_NAME, SAFETENSORS_NAME, ORIGINAL_NAME]


@dataclass(frozen=True)
class PretrainedModel:
    """A model to start from: see `export_huggingface` for the first three; `head` is that of its task, if any."""

    parameters: dict[str, Tensor]
    tables: dict[str, Tensor]
    config: ModelConfig
    head: TaskHead | None
    notes: tuple[str, ...]


def read_pretrained(source: str) -> PretrainedModel:
    """The model at `source`: a path, or `owner/name` on the Hugging Face hub.

    Raises InputError where there is none, and where the hub cannot be reached.
    """
    path = Path(source)
    if (path / CHECKPOINTS_NAME).is_dir() or (path / MANIFEST_NAME).is_file():
        trained = read_trained_model(path)
        return PretrainedModel(trained.parameters, trained.tables, trained.config, trained.head, trained.notes)
    if not path.exists() and HUB_NAME.match(source):
        path = _fetch(source)
    imported = import_weights(path)
    directory = path if path.is_dir() else path.parent
    head = head_of_export(imported.decoder, read_public_config(directory))
    return PretrainedModel(imported.parameters, imported.tables, imported.config, head, imported.notes)


def _fetch(name: str) -> Path:
    try:
        return Path(snapshot_download(name, allow_patterns=WEIGHT_FILES))
    except (LocalEntryNotFoundError, OfflineModeIsEnabled, ConnectionError) as error:
        raise InputError(
            f"{name} is no directory here, and the Hugging Face hub cannot be reached ({type(error).__name__}); "
            "go online, or give a path"
        ) from None
    except HfHubHTTPError as error:
        reason = str(error).strip().splitlines()[0]
        raise InputError(f"{name} is no directory here and cannot be fetched from the hub: {reason}") from None
