"""A trained or imported model as a public directory: the Hugging Face form, or the original one."""

import io
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from torch import Tensor

from hyena_ds.engine.checkpoint_store import save_tensors
from hyena_ds.errors import InputError, StorageError
from hyena_ds.hub.import_weights import ORIGINAL_NAME, SAFETENSORS_NAME
from hyena_ds.hub.key_map import to_huggingface, to_original
from hyena_ds.hub.model_card import ModelCard, render_card
from hyena_ds.hub.modeling_source import CONFIGURATION_SOURCE, TOKENIZATION_SOURCE, modeling_source
from hyena_ds.hub.output_directory import new_directory
from hyena_ds.hub.public_config import CONFIG_NAME, huggingface_config, original_config
from hyena_ds.hub.tables import computed_tables, tensor_shapes
from hyena_ds.hub.task_head import TaskHead
from hyena_ds.hub.tokenizer_files import generation_config, special_tokens_map, tokenizer_config
from hyena_ds.model.config import ModelConfig

PUBLIC_ORDER = 2


def export_huggingface(
    parameters: Mapping[str, Tensor],
    tables: Mapping[str, Tensor],
    config: ModelConfig,
    output: Path,
    card: ModelCard | None = None,
    *,
    head: TaskHead | None = None,
    overwrite: bool = False,
) -> None:
    """Write a directory that AutoModel, AutoModelForCausalLM, ... and AutoTokenizer open offline.

    Args:
        parameters: fp32, by the names of `HyenaLanguageModel.named_parameters`.
        tables: `z`, `t`, `deltas` of each layer as imported; what is missing is computed from `config`.
        config: the model's shape.
        output: the directory, complete or absent whenever the process ends.
        card: what the model card tells of the run.
        head: a task's, with which AutoModelForSequenceClassification (or ...TokenClassification) opens the directory.
        overwrite: replace an existing `output`.

    Raises InputError for an existing `output`, an order above 2, or tensors that are not the config's.
    """
    if config.order > PUBLIC_ORDER:
        raise InputError(
            f"order={config.order} is not publicly exportable above {PUBLIC_ORDER}; the checkpoint keeps it"
        )
    state = to_huggingface(_whole_state(parameters, tables, config)) | (head.tensors if head else {})
    documents = {
        CONFIG_NAME: _json(huggingface_config(config, output.name) | (head.config_values() if head else {})),
        "generation_config.json": _json(generation_config()),
        "tokenizer_config.json": _json(tokenizer_config(config.l_max)),
        "special_tokens_map.json": _json(special_tokens_map()),
        "configuration_hyena.py": CONFIGURATION_SOURCE.read_text(encoding="utf-8"),
        "tokenization_hyena.py": TOKENIZATION_SOURCE.read_text(encoding="utf-8"),
        "modeling_hyena.py": modeling_source(),
        "README.md": render_card(card or ModelCard(), config, output.name),
    }
    with new_directory(output, overwrite=overwrite) as aside:
        _save_tensors(state, aside / SAFETENSORS_NAME)
        for name, text in documents.items():
            (aside / name).write_text(text, encoding="utf-8")


def export_original(
    parameters: Mapping[str, Tensor],
    tables: Mapping[str, Tensor],
    config: ModelConfig,
    output: Path,
    *,
    checkpoint_mixer: bool = False,
    checkpoint_mlp: bool = False,
    overwrite: bool = False,
) -> None:
    """Write `weights.ckpt` and `config.json` as the 2023 repositories have them.

    `checkpoint_mixer` and `checkpoint_mlp` name the parameters as a model trained with those flags does; the rest is
    as in `export_huggingface`. The file is torch's own format, which is a pickle: of tensors alone.
    """
    state = to_original(
        {name: _stored(tensor) for name, tensor in _whole_state(parameters, tables, config).items()},
        num_inner_mlps=config.num_inner_mlps,
        checkpoint_mixer=checkpoint_mixer,
        checkpoint_mlp=checkpoint_mlp,
    )
    values = original_config(config, checkpoint_mixer=checkpoint_mixer, checkpoint_mlp=checkpoint_mlp)
    content = io.BytesIO()  # torch's own file writing hides why a disk failed
    torch.save({"epoch": 0, "global_step": 0, "state_dict": state}, content)
    with new_directory(output, overwrite=overwrite) as aside:
        (aside / ORIGINAL_NAME).write_bytes(content.getbuffer())
        (aside / CONFIG_NAME).write_text(_json(values), encoding="utf-8")


def _whole_state(
    parameters: Mapping[str, Tensor], tables: Mapping[str, Tensor], config: ModelConfig
) -> dict[str, Tensor]:
    given = {**computed_tables(config), **parameters, **tables}
    expected = tensor_shapes(config)
    for name, shape in expected.items():
        if name not in given or tuple(given[name].shape) != shape:
            found = list(given[name].shape) if name in given else "absent"
            raise InputError(
                f"{name} is {found} where the config says {list(shape)}; is this another model's checkpoint?"
            )
    unknown = sorted(set(given) - set(expected))
    if unknown:
        raise InputError(f"{unknown[0]} is no tensor of a HyenaDNA model of {config.n_layer} layers")
    return {name: given[name] for name in expected}


def _save_tensors(state: Mapping[str, Tensor], path: Path) -> None:
    """The public file: fp32 tensors by name, as safetensors orders them."""
    try:
        save_tensors({name: _stored(tensor) for name, tensor in state.items()}, path)
    except SafetensorError as error:
        raise StorageError(f"{path.name} could not be written: {error}; free space or choose another disk") from None


def _stored(tensor: Tensor) -> Tensor:
    """fp32 on the host, contiguous, in memory of its own."""
    return tensor.detach().to("cpu", torch.float32).contiguous().clone()


def _json(values: dict[str, Any]) -> str:
    return json.dumps(values, indent=2, sort_keys=True) + "\n"
