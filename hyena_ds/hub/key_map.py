"""Parameter names: the original checkpoints', the public Hugging Face form's, and ours.

Ours are the original ones without the `model.` prefix and without `.layer.`, each tensor under one name: the shared
filter frequency as `implicit_filter.1.freq`, the tied head as the embedding.

| original                                          | ours                               | Hugging Face             |
| `model.backbone.layers.0.mixer.[layer.]in_proj…`  | `backbone.layers.0.mixer.in_proj…` | `hyena.backbone.layers…` |
| `….implicit_filter.{1,3,5}.freq`                  | `….implicit_filter.1.freq`         | `….implicit_filter.1.freq` |
| `model.lm_head.weight`                            | the embedding                      | `lm_head.weight`         |
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from hyena_ds.errors import InputError

EMBEDDING = "backbone.embeddings.word_embeddings.weight"
HEAD = "lm_head.weight"
# Activation checkpointing wraps a module as `mixer.layer` or `mlp.layer`; `layers.` is the list of blocks.
_WRAPPER = re.compile(r"\.(mixer|mlp)\.layer\.")
_FREQUENCY = re.compile(r"^(.*\.implicit_filter\.)(\d+)\.freq$")
_METRICS = "_torchmetrics."


@dataclass(frozen=True)
class NamedTensors:
    """What a public checkpoint holds, under our names.

    `model` has parameters and tables, `decoder` the heads of fine-tuned models under their own names, `passed_over`
    the names of what belongs to neither.
    """

    model: dict[str, Tensor]
    decoder: dict[str, Tensor]
    passed_over: tuple[str, ...]


def from_original(state: Mapping[str, Tensor]) -> NamedTensors:
    """A Lightning state dict of either activation-checkpointing flag.

    Raises InputError where tensors that are one (frequencies, head and embedding) differ.
    """
    bare = any(name.startswith("backbone.") for name in state)
    model, decoder, passed_over = {}, {}, []
    for name, tensor in state.items():
        if name.startswith("decoder."):
            decoder[name] = tensor
        elif name.startswith("model."):
            model[_WRAPPER.sub(r".\1.", name.removeprefix("model."))] = tensor
        elif bare and name.startswith(("backbone.", "lm_head.")):
            model[_WRAPPER.sub(r".\1.", name)] = tensor
        elif _METRICS not in name:
            passed_over.append(name)
    return NamedTensors(_one_name_each(model), decoder, tuple(passed_over))


def from_huggingface(state: Mapping[str, Tensor]) -> NamedTensors:
    """The state dict of a public Hugging Face directory, of any of its three classes.

    Raises InputError where tensors that are one (frequencies, head and embedding) differ.
    """
    model, decoder, passed_over = {}, {}, []
    for name, tensor in state.items():
        if name.startswith("score."):
            decoder[name] = tensor
        elif name.startswith(("hyena.backbone.", "backbone.", "lm_head.")):
            model[name.removeprefix("hyena.")] = tensor
        else:
            passed_over.append(name)
    return NamedTensors(_one_name_each(model), decoder, tuple(passed_over))


def to_original(
    state: Mapping[str, Tensor], *, num_inner_mlps: int, checkpoint_mixer: bool, checkpoint_mlp: bool
) -> dict[str, Tensor]:
    """Our parameters and tables in the original layout, as a model with these two flags would save them."""
    original: dict[str, Tensor] = {}
    for name, tensor in state.items():
        for copy in _frequency_names(name, num_inner_mlps):
            original["model." + _wrapped(copy, checkpoint_mixer, checkpoint_mlp)] = tensor
    original["model." + HEAD] = state[EMBEDDING]
    return original


def to_huggingface(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Our parameters and tables in the public Hugging Face layout; the head is a copy of its own."""
    public = {"hyena." + name: tensor for name, tensor in state.items()}
    public[HEAD] = state[EMBEDDING].clone()
    return public


def _wrapped(name: str, checkpoint_mixer: bool, checkpoint_mlp: bool) -> str:
    for part, flag in (("mixer", checkpoint_mixer), ("mlp", checkpoint_mlp)):
        if flag:
            name = name.replace(f".{part}.", f".{part}.layer.", 1)
    return name


def _frequency_names(name: str, num_inner_mlps: int) -> list[str]:
    found = _FREQUENCY.match(name)
    if not found:
        return [name]
    return [f"{found[1]}{2 * number + 1}.freq" for number in range(num_inner_mlps + 1)]


def _one_name_each(state: dict[str, Tensor]) -> dict[str, Tensor]:
    kept = dict(state)
    for name in state:
        found = _FREQUENCY.match(name)
        if found and found[2] != "1":
            _drop_copy(kept, name, f"{found[1]}1.freq")
    if HEAD in kept:
        _drop_copy(kept, HEAD, EMBEDDING)
    return kept


def _drop_copy(state: dict[str, Tensor], copy: str, name: str) -> None:
    tensor = state.pop(copy)
    if name not in state:
        raise InputError(f"the checkpoint holds {copy} and lacks {name}; its key layout is not a HyenaDNA model's")
    if not torch.equal(tensor, state[name]):
        raise InputError(
            f"the checkpoint's {copy} and {name} differ, and a HyenaDNA model has them as one tensor; "
            "was it trained with another code?"
        )
