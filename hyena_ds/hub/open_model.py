"""A model from wherever its weights are: a run, an export, a published directory or file, the Hugging Face hub."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from huggingface_hub import snapshot_download
from huggingface_hub.errors import HfHubHTTPError, HFValidationError
from torch import Tensor

from hyena_ds.engine.checkpoint_store import MANIFEST_NAME
from hyena_ds.errors import InputError
from hyena_ds.hub.import_weights import ORIGINAL_NAME, SAFETENSORS_NAME, import_weights
from hyena_ds.hub.public_config import CONFIG_NAME
from hyena_ds.hub.run_directory import CHECKPOINTS_NAME, NO_SOURCES, read_trained_model
from hyena_ds.model.config import ModelConfig
from hyena_ds.model.language_model import HyenaLanguageModel

HUB_ID = re.compile(r"[\w.-]+/[\w.-]+")


@dataclass(frozen=True)
class OpenedModel:
    """A language model in evaluation mode on the CPU, where it came from, and what the user should know of it."""

    model: HyenaLanguageModel
    source: str
    notes: tuple[str, ...]


def open_model(source: str | Path, *, filter_shift: float | None = None) -> OpenedModel:
    """Open a run directory, one of its checkpoints, an export, a published directory, a `.ckpt`, or a hub id.

    `filter_shift` replaces that of published weights, whose original configs do not say it. Raises InputError where
    there is nothing to open, where what is there is damaged, and where a hub id cannot be fetched.
    """
    path = Path(source)
    if not path.exists():
        path = _download(str(source))
    if (path / CHECKPOINTS_NAME).is_dir() or (path / MANIFEST_NAME).is_file() or path.name == CHECKPOINTS_NAME:
        return _from_run(path)
    if path.is_dir() and not (path / CONFIG_NAME).is_file():
        raise InputError(f"{path} is neither a run directory (checkpoints/) nor an exported model ({CONFIG_NAME})")
    imported = import_weights(path, filter_shift=filter_shift)
    model = assemble(imported.config, imported.parameters, imported.tables)
    return OpenedModel(model, imported.source, imported.notes)


def _from_run(path: Path) -> OpenedModel:
    trained = read_trained_model(path)
    model = assemble(trained.config, trained.parameters, trained.tables)
    notes = tuple(note for note in trained.notes if note != NO_SOURCES)
    return OpenedModel(model, str(trained.path), notes)


def assemble(config: ModelConfig, parameters: Mapping[str, Tensor], tables: Mapping[str, Tensor]) -> HyenaLanguageModel:
    """The model that holds `parameters`; imported `tables` are carried per layer, else one is computed and shared.

    Raises InputError where the tensors are not those of `config`.
    """
    model = HyenaLanguageModel(config, share_tables=not tables)
    own = dict(model.named_parameters())
    given = {**parameters, **tables}
    expected = own | dict(model.named_buffers()) if tables else own
    strange = sorted(set(expected) ^ set(given)) or [
        name for name in given if given[name].shape != expected[name].shape
    ]
    if strange:
        raise InputError(f"{strange[0]} is not as the model's config says; do config and weights belong together?")
    with torch.no_grad():
        for name, tensor in given.items():
            expected[name].copy_(tensor)
    return model.eval()


def _download(source: str) -> Path:
    if not HUB_ID.fullmatch(source):
        raise InputError(f"no model at {source}; give a run directory, an export, a .ckpt file or a hub id owner/name")
    try:
        return Path(snapshot_download(source, allow_patterns=[CONFIG_NAME, SAFETENSORS_NAME, ORIGINAL_NAME]))
    except (HfHubHTTPError, HFValidationError, OSError) as error:
        reason = str(error).strip().splitlines()[0]
        raise InputError(
            f"no directory {source} here, and as a Hugging Face hub id it cannot be fetched ({reason}); "
            "check the name, or download it where there is a network and give the directory"
        ) from None
