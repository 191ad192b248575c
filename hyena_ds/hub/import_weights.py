"""Published weights, in either public format, as a model's config, parameters and tables."""

import dataclasses
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from hyena_ds.errors import InputError
from hyena_ds.hub.key_map import NamedTensors, from_huggingface, from_original
from hyena_ds.hub.public_config import (
    CONFIG_NAME,
    config_from_huggingface,
    config_from_original,
    is_huggingface,
    read_public_config,
)
from hyena_ds.hub.restricted_pickle import StoredTensor, TorchArchive
from hyena_ds.hub.tables import tensor_shapes
from hyena_ds.model.config import ModelConfig
from hyena_ds.model.parameters import is_table

SAFETENSORS_NAME = "model.safetensors"
ORIGINAL_NAME = "weights.ckpt"


@dataclass(frozen=True)
class ImportedModel:
    """A model from outside.

    `parameters` (fp32) bear the names of `HyenaLanguageModel.named_parameters`; `tables` hold `z`, `t` and `deltas`
    of each layer as they came; `decoder` the heads of a fine-tuned model under their own names; `source` says where
    all came from; `notes` are sentences the user should read.
    """

    config: ModelConfig
    parameters: dict[str, Tensor]
    tables: dict[str, Tensor]
    decoder: dict[str, Tensor]
    source: str
    notes: tuple[str, ...] = field(default=())


def import_weights(source: Path, *, filter_shift: float | None = None) -> ImportedModel:
    """Read an original `.ckpt` (its `config.json` beside it), a directory of one, or a Hugging Face directory.

    Args:
        source: the file or directory.
        filter_shift: replaces the config's value; original configs do not say it.

    Raises InputError where something is missing, malformed or of another shape than the config says.
    """
    directory, weights = _locate(source)
    values = read_public_config(directory)
    place = str(directory / CONFIG_NAME)
    if is_huggingface(values):
        config, notes, named = _read_huggingface(weights, values, place)
    else:
        config, notes, named = _read_original(weights, values, place)
    if filter_shift is not None:
        config = dataclasses.replace(config, filter_shift=filter_shift)
    if named.passed_over:
        notes = [*notes, f"passed over, as no part of the model: {', '.join(named.passed_over)}"]
    if named.decoder:
        notes = [*notes, f"beside the language model, the head of a fine-tuned one: {', '.join(named.decoder)}"]
    tensors = _checked(named.model, config, str(weights))
    return ImportedModel(
        config=config,
        parameters={name: tensor for name, tensor in tensors.items() if not is_table(name)},
        tables={name: tensor for name, tensor in tensors.items() if is_table(name)},
        decoder=named.decoder,
        source=str(weights),
        notes=tuple(notes),
    )


def _locate(source: Path) -> tuple[Path, Path]:
    """The directory that holds config.json, and the weights file."""
    if source.is_file():
        return source.parent, source
    if not source.is_dir():
        raise InputError(f"no weights at {source}; give a .ckpt file or a directory with config.json")
    found = [source / name for name in (SAFETENSORS_NAME, ORIGINAL_NAME) if (source / name).is_file()]
    found = found or sorted([*source.glob("*.ckpt"), *source.glob("*.pt")])
    if len(found) == 1:
        return source, found[0]
    if found:
        raise InputError(f"{source} holds several weights ({', '.join(path.name for path in found)}); name one of them")
    if (source / "pytorch_model.bin").is_file():
        raise InputError(f"{source} holds only pytorch_model.bin; download its {SAFETENSORS_NAME}")
    raise InputError(f"{source} holds neither {SAFETENSORS_NAME} nor {ORIGINAL_NAME}; download the weights again")


def _read_huggingface(weights: Path, values: dict[str, Any], place: str) -> tuple[ModelConfig, list[str], NamedTensors]:
    if weights.suffix != ".safetensors":
        raise InputError(
            f"{place} is of the Hugging Face form, whose weights are {SAFETENSORS_NAME}, not {weights.name}"
        )
    try:
        state = load_file(weights)
    except SafetensorError as error:
        raise InputError(f"{weights} is no whole safetensors file ({error}); download it again") from None
    return config_from_huggingface(values, place), [], from_huggingface(state)


def _read_original(weights: Path, values: dict[str, Any], place: str) -> tuple[ModelConfig, list[str], NamedTensors]:
    if weights.suffix == ".safetensors":
        raise InputError(f"{place} is of the original form, whose weights are a .ckpt, not {weights.name}")
    config, notes = config_from_original(values, place)
    with TorchArchive(weights) as archive:
        state = {name: archive.read(stored) for name, stored in _state_dict(archive.value, weights).items()}
        if archive.stubbed:
            notes.append(f"left unread, as no tensors: objects of {', '.join(archive.stubbed)}")
    return config, notes, from_original(state)


def _state_dict(value: Any, weights: Path) -> dict[str, StoredTensor]:
    state = value.get("state_dict", value) if isinstance(value, dict) else None
    if not isinstance(state, dict):
        raise InputError(f"{weights} holds no state_dict; a Lightning checkpoint has one")
    tensors = {name: stored for name, stored in state.items() if isinstance(stored, StoredTensor) and type(name) is str}
    # Tied tensors share bytes; a file that names the same bytes a thousand times would fill the memory.
    if sum(stored.bytes for stored in tensors.values()) > 2 * weights.stat().st_size:
        raise InputError(f"{weights} claims tensors of more than twice its own size; download it again")
    return tensors


def _checked(state: dict[str, Tensor], config: ModelConfig, place: str) -> dict[str, Tensor]:
    """`state` as fp32 in the model's own order, every tensor present and of the config's shape."""
    expected = tensor_shapes(config)
    missing = [name for name in expected if name not in state]
    if missing:
        raise InputError(f"{place} lacks {_listed(missing)}; it is no whole HyenaDNA model of {config.n_layer} layers")
    unknown = [name for name in state if name not in expected]
    if unknown:
        raise InputError(f"{place} holds {_listed(unknown)}, which a model of its config.json does not have")
    for name, shape in expected.items():
        if tuple(state[name].shape) != shape:
            raise InputError(
                f"{place}: {name} has shape {list(state[name].shape)}, its config.json says {list(shape)}; "
                "the two belong to different models"
            )
        if not state[name].is_floating_point():
            raise InputError(f"{place}: {name} is {state[name].dtype}, not a floating-point tensor")
    return {name: state[name].to(torch.float32) for name in expected}


def _listed(names: list[str]) -> str:
    shown = ", ".join(names[:3])
    return shown if len(names) <= 3 else f"{shown} and {len(names) - 3} more"
