"""The two public `config.json` forms and our `ModelConfig`, both ways."""

import json
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from hyena_ds.errors import InputError
from hyena_ds.genome.alphabet import PAD, VOCABULARY_SIZE
from hyena_ds.model.config import ModelConfig

CONFIG_NAME = "config.json"
# The shift that all public inference code has built in; the 2023 training code had 0.0.
PUBLIC_SHIFT = 0.05
PAD_MULTIPLE = 8

_ORIGINAL_LAYER_DEFAULTS: dict[str, Any] = {
    "_name_": "hyena",
    "modulate": True,
    "normalized": False,
    "num_heads": 1,
    "inner_factor": 1,
    "num_blocks": 1,
    "outer_mixing": False,
    "post_order_ffn": False,
    "linear_mixer": False,
    "activation": "id",
    "filter_dropout": 0.0,
}
_ORIGINAL_MODEL_DEFAULTS: dict[str, Any] = {
    "vocab_size": VOCABULARY_SIZE,
    "pad_vocab_size_multiple": PAD_MULTIPLE,
    "max_position_embeddings": 0,
    "attn_layer_idx": None,
}
_HUGGINGFACE_DEFAULTS: dict[str, Any] = {
    "vocab_size": VOCABULARY_SIZE,
    "pad_vocab_size_multiple": PAD_MULTIPLE,
    "use_bias": True,
    "hyena_filter_dropout": 0.0,
}
AUTO_CLASSES = {
    "AutoConfig": "configuration_hyena.HyenaConfig",
    "AutoModel": "modeling_hyena.HyenaDNAModel",
    "AutoModelForCausalLM": "modeling_hyena.HyenaDNAForCausalLM",
    "AutoModelForSequenceClassification": "modeling_hyena.HyenaDNAForSequenceClassification",
}


def read_public_config(directory: Path) -> dict[str, Any]:
    """The `config.json` of a public directory; raises InputError where it is missing or no JSON object."""
    path = directory / CONFIG_NAME
    if not path.is_file():
        raise InputError(f"no {CONFIG_NAME} in {directory}; public weights come with one, copy it beside them")
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise InputError(f"{path} is not JSON ({error}); download it again") from None
    if not isinstance(values, dict):
        raise InputError(f"{path} holds no JSON object; download it again")
    return values


def is_huggingface(values: dict[str, Any]) -> bool:
    """Whether `values` are those of a Hugging Face directory; the original form nests a `layer` section."""
    return "layer" not in values


def config_from_original(values: dict[str, Any], place: str) -> tuple[ModelConfig, list[str]]:
    """The model of an original `config.json`, and notes on what was read in an unexpected way.

    Raises InputError where a value is missing or asks for a variant that the published models do not use.
    """
    layer = values.get("layer")
    if not isinstance(layer, dict):
        raise InputError(f"{place}: layer is no section; an original config.json nests emb_dim, l_max, ... there")
    _refuse_variants(values, _ORIGINAL_MODEL_DEFAULTS, place)
    _refuse_variants(layer, _ORIGINAL_LAYER_DEFAULTS, f"{place}: layer")
    config = build_model_config(
        place,
        {
            "d_model": _required(values, "d_model", place),
            "n_layer": _required(values, "n_layer", place),
            "l_max": _required(layer, "l_max", f"{place}: layer"),
            "d_inner": values.get("d_inner"),
            "order": layer.get("order", 2),
            "filter_order": layer.get("filter_order", 64),
            "emb_dim": layer.get("emb_dim", 3),
            "short_filter_order": layer.get("short_filter_order", 3),
            "activation_freq": layer.get("w", 1),
            "num_inner_mlps": layer.get("num_inner_mlps", 2),
            "filter_shift": layer.get("shift", PUBLIC_SHIFT),
            "embed_dropout": values.get("embed_dropout", 0.1),
            "resid_dropout": values.get("resid_dropout", 0.0),
            "hyena_dropout": layer.get("dropout", 0.0),
            "bidirectional": layer.get("bidirectional", False),
            "layer_norm_epsilon": values.get("layer_norm_epsilon", 1e-5),
        },
    )
    return config, _original_notes(layer, config)


def _original_notes(layer: dict[str, Any], config: ModelConfig) -> list[str]:
    notes = []
    if "local_order" in layer:
        notes.append(
            f"layer.local_order={layer['local_order']} is a stale name that the published model ignores; "
            f"the short filter is {config.short_filter_order} wide"
        )
    if "shift" not in layer:
        notes.append(
            f"filter_shift is {PUBLIC_SHIFT}, as in all public inference code; "
            "the 2023 training code had 0.0 (--filter-shift sets it)"
        )
    if config.bidirectional:
        notes.append("layer.bidirectional: this project's variant convolves both ways around each position itself")
    return notes


def config_from_huggingface(values: dict[str, Any], place: str) -> ModelConfig:
    """The model of a Hugging Face `config.json`, ours or the public one; its class's defaults fill what is missing.

    Raises InputError where a value asks for a variant that the published models do not use.
    """
    _refuse_variants(values, _HUGGINGFACE_DEFAULTS, place)
    return build_model_config(
        place,
        {
            "d_model": values.get("d_model", 256),
            "n_layer": values.get("n_layer", 12),
            "l_max": values.get("max_seq_len", 1024),
            "d_inner": values.get("d_inner"),
            "order": values.get("hyena_order", 2),
            "filter_order": values.get("filter_order", 64),
            "emb_dim": values.get("emb_dim", 3),
            "short_filter_order": values.get("short_filter_order", 3),
            "activation_freq": values.get("activation_freq", 1),
            "num_inner_mlps": values.get("num_inner_mlps", 2),
            "filter_shift": values.get("filter_shift", PUBLIC_SHIFT),
            "embed_dropout": values.get("embed_dropout", 0.1),
            "resid_dropout": values.get("resid_dropout", 0.0),
            "hyena_dropout": values.get("hyena_dropout", 0.0),
            "bidirectional": values.get("bidirectional", False),
            "layer_norm_epsilon": values.get("layer_norm_epsilon", 1e-5),
            "initializer_range": values.get("initializer_range", 0.02),
        },
    )


def original_config(config: ModelConfig, *, checkpoint_mixer: bool, checkpoint_mlp: bool) -> dict[str, Any]:
    """The original `config.json` of a model; `layer.shift` is read by the 2023 code as well."""
    values: dict[str, Any] = {
        "n_layer": config.n_layer,
        "vocab_size": VOCABULARY_SIZE,
        "resid_dropout": config.resid_dropout,
        "embed_dropout": config.embed_dropout,
        "fused_mlp": False,
        "fused_dropout_add_ln": True,
        "residual_in_fp32": True,
        "pad_vocab_size_multiple": PAD_MULTIPLE,
        "return_hidden_state": True,
        "d_model": config.d_model,
        "d_inner": config.inner_width,
        "layer": _original_layer(config),
    }
    flags = {"checkpoint_mixer": checkpoint_mixer, "checkpoint_mlp": checkpoint_mlp}
    return values | {name: flag for name, flag in flags.items() if flag}


def _original_layer(config: ModelConfig) -> dict[str, Any]:
    return {
        "_name_": "hyena",
        "order": config.order,
        "emb_dim": config.emb_dim,
        "filter_order": config.filter_order,
        "short_filter_order": config.short_filter_order,
        "l_max": config.l_max,
        "num_inner_mlps": config.num_inner_mlps,
        "dropout": config.hyena_dropout,
        "bidirectional": config.bidirectional,
        "modulate": True,
        "w": _plain(config.activation_freq),
        "shift": config.filter_shift,
        "lr": 6e-4,
        "wd": 0.0,
        "lr_pos_emb": 0.0,
    }


def huggingface_config(config: ModelConfig, name: str) -> dict[str, Any]:
    """The `config.json` of an export: the public keys, then `filter_shift`, then what differs from the default."""
    values: dict[str, Any] = {
        "_name_or_path": name,
        "activation_freq": _plain(config.activation_freq),
        "architectures": ["HyenaDNAForCausalLM"],
        "auto_map": AUTO_CLASSES,
        "d_inner": config.inner_width,
        "d_model": config.d_model,
        "emb_dim": config.emb_dim,
        "embed_dropout": config.embed_dropout,
        "filter_order": config.filter_order,
        "filter_shift": config.filter_shift,
        "hyena_dropout": config.hyena_dropout,
        "hyena_filter_dropout": 0.0,
        "hyena_order": config.order,
        "initializer_range": config.initializer_range,
        "layer_norm_epsilon": config.layer_norm_epsilon,
        "max_seq_len": config.l_max,
        "model_type": "hyenadna",
        "n_layer": config.n_layer,
        "num_inner_mlps": config.num_inner_mlps,
        "pad_token_id": PAD,
        "pad_vocab_size_multiple": PAD_MULTIPLE,
        "short_filter_order": config.short_filter_order,
        "tie_word_embeddings": False,
        "torch_dtype": "float32",
        "train_freq": True,
        "transformers_version": "4.35.0.dev0",
        "use_bias": True,
        "vocab_size": VOCABULARY_SIZE,
    }
    if config.bidirectional:
        values["bidirectional"] = True
    if config.resid_dropout:
        values["resid_dropout"] = config.resid_dropout
    return values


def public_code_differences(config: ModelConfig) -> list[str]:
    """Why the public remote code would compute something else from an export of this model."""
    differences = []
    if config.filter_shift != PUBLIC_SHIFT:
        differences.append(f"filter_shift={config.filter_shift}, the public code has {PUBLIC_SHIFT} built in")
    if config.bidirectional:
        differences.append("bidirectional=True, the public code is causal")
    if config.short_filter_order != 3:
        differences.append(f"short_filter_order={config.short_filter_order}, the public code pads for 3")
    if config.layer_norm_epsilon != 1e-5:
        differences.append(f"layer_norm_epsilon={config.layer_norm_epsilon}, the public code has 1e-5 in its blocks")
    return differences


def _plain(value: float) -> int | float:
    return int(value) if value == int(value) else value


def _required(values: dict[str, Any], name: str, place: str) -> Any:
    if name not in values:
        raise InputError(f"{place}: {name} is missing; take the config.json that came with the weights")
    return values[name]


def _refuse_variants(values: dict[str, Any], defaults: dict[str, Any], place: str) -> None:
    for name, expected in defaults.items():
        if values.get(name, expected) != expected:
            raise InputError(
                f"{place}: {name}={values[name]!r} is a variant that no published model uses; "
                f"only {name}={expected!r} imports"
            )


def build_model_config(place: str, values: dict[str, Any]) -> ModelConfig:
    """`values` as a ModelConfig; raises InputError with the place and the first thing wrong."""
    try:
        return TypeAdapter(ModelConfig).validate_json(json.dumps(values))
    except ValidationError as error:
        first = error.errors()[0]
        name = "".join(f"{part}: " for part in first["loc"])
        raise InputError(f"{place}: {name}{first['msg'].removeprefix('Value error, ')}") from None
