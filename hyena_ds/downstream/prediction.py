"""What a fine-tuned model says of sequences: probabilities of classes, or values."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import torch
from torch import Tensor
from torch.nn import functional

from hyena_ds.downstream.outputs import probabilities
from hyena_ds.errors import InputError
from hyena_ds.genome.alphabet import PAD, SEP, UNK
from hyena_ds.hub.task_head import PREFIX, TaskHead, TaskKind
from hyena_ds.inference.batches import Batch
from hyena_ds.inference.frozen import FrozenModel
from hyena_ds.inference.measurements import Pending, owned_rows
from hyena_ds.inference.sequences import NamedSequence
from hyena_ds.model.decoder import DecoderHead, counted_positions, pooled, position_weights

KINDS: dict[str | None, TaskKind] = {"regression": "regression", "multi_label_classification": "multilabel"}


@dataclass(frozen=True)
class Prediction:
    """The outputs of a task's head, each sequence followed by [SEP] as in fine-tuning.

    The column `probabilities` [C] is in the order of `head.classes`, for one class a position [L, C]; `prediction` is
    the likeliest class, or the labels above 0.5. Regression has `values` [C] instead of both. With two `strands` the
    outputs are averaged before they become probabilities.
    """

    model: FrozenModel
    head: TaskHead
    scorer: DecoderHead
    strands: int = 1
    added_tokens: int = 1

    @classmethod
    def of(cls, model: FrozenModel, head: TaskHead, strands: int = 1) -> "Prediction":
        """The prediction of `head` on its own backbone; raises InputError where its tensors are not as it says."""
        scorer = DecoderHead(head.decoder, model.config.d_model, len(head.tensors[f"{PREFIX}weight"]))
        tensors = {name.removeprefix(PREFIX): tensor for name, tensor in head.tensors.items()}
        try:
            scorer.load_state_dict(tensors)
        except RuntimeError as error:
            reason = " ".join(str(error).split())
            raise InputError(f"the head that came with the weights is not as its config says: {reason}") from None
        return cls(model, head, scorer.to(model.device).eval().requires_grad_(False), strands)

    @property
    def kind(self) -> TaskKind:
        """`multiclass` stands for two classes, too."""
        return "position" if self.head.decoder.mode == "position" else KINDS.get(self.head.problem_type, "multiclass")

    @property
    def main(self) -> str:
        return "values" if self.kind == "regression" else "probabilities"

    @property
    def schema(self) -> pa.Schema:
        vector = pa.list_(pa.float32(), self.scorer.out_features)
        match self.kind:
            case "regression":
                return pa.schema([("values", vector)])
            case "position":
                lists = [("prediction", pa.list_(pa.string())), ("probabilities", pa.list_(vector))]
                return pa.schema([("marks", pa.list_(pa.uint8())), *lists])
            case "multilabel":
                return pa.schema([("prediction", pa.list_(pa.string())), ("probabilities", vector)])
        return pa.schema([("prediction", pa.string()), ("probabilities", vector)])

    @property
    def bytes_per_base(self) -> int:
        return 8 * self.scorer.out_features if self.kind == "position" else 1

    @property
    def settings(self) -> dict[str, Any]:
        digest = hashlib.sha256(repr((self.head.decoder, self.head.classes, self.head.problem_type)).encode())
        for name in sorted(self.head.tensors):
            digest.update(self.head.tensors[name].float().cpu().numpy().tobytes())
        return {"measure": "prediction", "strands": self.strands, "head": digest.hexdigest()}

    def measure(self, batch: Batch) -> Pending:
        """Outputs [C] of each piece, or [L, C]."""
        tokens = self.model.moved(_with_end(batch, self.model.config.l_max))
        hidden = self.model.hidden(tokens, "right")
        with self.model.evaluation():
            if self.kind == "position":
                each = self.model.fetched(self.scorer(hidden))
                return lambda: owned_rows(each(), batch)
            known = (tokens != PAD) & (tokens != UNK)
            counted = counted_positions(tokens, known, self.head.decoder.special_tokens)
            outputs = self.model.fetched(self.scorer(pooled(hidden, position_weights(counted, self.head.decoder))))
            return lambda: list(outputs())

    def combine(self, sequence: NamedSequence, strands: Sequence[Sequence[Any]]) -> dict[str, Any]:
        outputs = [pieces[0].astype(np.float64) for pieces in strands]
        if self.kind == "position" and len(outputs) == 2:
            outputs[1] = outputs[1][::-1]
        found = probabilities(self.kind, np.atleast_2d(sum(outputs) / len(outputs)))
        names = np.array(self.head.classes)
        match self.kind:
            case "regression":
                return {"values": found[0]}
            case "position":
                return {"marks": sequence.marks, "prediction": names[found.argmax(axis=1)], "probabilities": found}
            case "multilabel":
                return {"prediction": names[found[0] > 0.5], "probabilities": found[0]}
        return {"prediction": str(names[found[0].argmax()]), "probabilities": found[0]}


def _with_end(batch: Batch, l_max: int) -> Tensor:
    """The tokens [B, L + 1] of a batch padded on the right, [SEP] behind each piece; at most `l_max` wide."""
    tokens = functional.pad(batch.tokens, (0, 1), value=PAD)
    tokens[torch.arange(len(tokens)), batch.spans[:, 1]] = SEP
    return tokens[:, :l_max]
