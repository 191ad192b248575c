"""A language model ready to use, from wherever its weights are."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from hyena_ds.errors import InputError
from hyena_ds.hub.pretrained import read_pretrained
from hyena_ds.hub.task_head import TaskHead
from hyena_ds.model.config import ModelConfig
from hyena_ds.model.language_model import HyenaLanguageModel


@dataclass(frozen=True)
class OpenedModel:
    """A language model in evaluation mode on the CPU, where it came from, and what the user should know of it.

    `head` is that of its task, if it is a fine-tuned model.
    """

    model: HyenaLanguageModel
    source: str
    notes: tuple[str, ...]
    head: TaskHead | None


def open_model(source: str | Path, *, filter_shift: float | None = None) -> OpenedModel:
    """Open what `read_pretrained` reads. Raises InputError as that does, and where config and weights differ."""
    found = read_pretrained(source, filter_shift=filter_shift)
    model = assemble(found.config, found.parameters, found.tables)
    return OpenedModel(model, found.source, found.notes, found.head)


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
