"""A task's head as it travels with a model: its tensors, what it reads, and what its outputs mean."""

import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from pydantic import TypeAdapter, ValidationError
from torch import Tensor

from hyena_ds.errors import InputError
from hyena_ds.hub.public_config import AUTO_CLASSES
from hyena_ds.hub.target_scale import folded
from hyena_ds.model.decoder import DecoderConfig

TaskKind = Literal["binary", "multiclass", "multilabel", "regression", "position"]
# What transformers calls a task of each kind.
PROBLEM_TYPES: dict[str, str] = {
    "binary": "single_label_classification",
    "multiclass": "single_label_classification",
    "position": "single_label_classification",
    "multilabel": "multi_label_classification",
    "regression": "regression",
}
PREFIX = "score."


@dataclass(frozen=True)
class TaskHead:
    """`tensors` are `score.weight` and the like; `classes` name the outputs in their order."""

    tensors: dict[str, Tensor] = field(repr=False)
    decoder: DecoderConfig
    classes: tuple[str, ...]
    problem_type: str | None

    def config_values(self) -> dict[str, Any]:
        """The keys of an export's `config.json` that bring the head along."""
        architecture = "TokenClassification" if self.decoder.mode == "position" else "SequenceClassification"
        return {
            "architectures": [f"HyenaDNAFor{architecture}"],
            "auto_map": AUTO_CLASSES | {f"AutoModelFor{architecture}": f"modeling_hyena.HyenaDNAFor{architecture}"},
            "id2label": {str(number): name for number, name in enumerate(self.classes)},
            "label2id": {name: number for number, name in enumerate(self.classes)},
            "problem_type": self.problem_type,
            "sequence_decoder": dataclasses.asdict(self.decoder),
        }


def head_tensors(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Those of `tensors` that belong to a head."""
    return {name: tensor for name, tensor in tensors.items() if name.startswith(PREFIX)}


def head_of_export(tensors: Mapping[str, Tensor], values: Mapping[str, Any]) -> TaskHead | None:
    """The head of a Hugging Face directory whose `config.json` has these values; None where it carries none."""
    if not tensors or values.get("sequence_decoder") is None:
        return None
    labels = values.get("id2label") or {}
    classes = tuple(labels[number] for number in sorted(labels, key=int))
    decoder = decoder_from_values(values["sequence_decoder"])
    return TaskHead(dict(tensors), decoder, classes, values.get("problem_type"))


def head_of_run(tensors: Mapping[str, Tensor], values: Mapping[str, Any]) -> TaskHead | None:
    """The head of a fine-tuning run whose config has these values; None where the run has none."""
    if not tensors:
        return None
    task = values.get("task") or {}
    if not task.get("classes") or "decoder" not in values:
        raise InputError("the checkpoint has a head and its config names no classes; take the config.yaml of its run")
    decoder = decoder_from_values(values["decoder"])
    return TaskHead(folded(tensors), decoder, tuple(task["classes"]), PROBLEM_TYPES[task["kind"]])


def decoder_from_values(values: Mapping[str, Any]) -> DecoderConfig:
    """A decoder from JSON or YAML, where tuples are lists; raises InputError where it is none."""
    try:
        return TypeAdapter(DecoderConfig).validate_json(json.dumps(values))
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"]))
        raise InputError(
            f"the decoder that came with the weights is not one of ours: {place}: {first['msg']}"
        ) from None
