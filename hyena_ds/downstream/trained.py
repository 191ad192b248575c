"""A fine-tuned model in use: predictions for sequences, from a run or its export."""

from collections.abc import Sequence

import numpy as np
import torch

from hyena_ds.downstream.dataset import ExampleSet
from hyena_ds.downstream.example import read_bases
from hyena_ds.downstream.metrics import probabilities
from hyena_ds.downstream.model import TaskModel, TaskShape
from hyena_ds.downstream.predict import Predictor, WholeModel
from hyena_ds.engine.checkpoint import load_parameters
from hyena_ds.engine.checkpoint_store import Checkpoint
from hyena_ds.errors import InputError
from hyena_ds.hub.pretrained import PretrainedModel, read_pretrained
from hyena_ds.hub.task_head import TaskHead, TaskKind
from hyena_ds.model.parameters import is_table
from hyena_ds.model.sequence import WholeSequence
from hyena_ds.parallel.dimensions import ParallelDimensions

KINDS: dict[str | None, TaskKind] = {"regression": "regression", "multi_label_classification": "multilabel"}


class TrainedTask:
    """A model with the head of a task; `classes` name its outputs in their order."""

    def __init__(self, source: str, pretrained: PretrainedModel, head: TaskHead, device: torch.device) -> None:
        self.classes, self._l_max = head.classes, pretrained.config.l_max
        self.by_position = head.decoder.mode == "position"
        self._kind = KINDS.get(head.problem_type, "multiclass")
        shape = TaskShape(pretrained.config, head.decoder, len(head.tensors["score.weight"]))
        tensors = {**pretrained.parameters, **pretrained.tables, **head.tensors}
        model = TaskModel(shape, share_tables=not any(is_table(name) for name in tensors))
        load_parameters(model, Checkpoint(step=0, parameters=tensors, config=""), source)
        self._device, self._forward = device, WholeModel(model, device, bf16=False)

    def predict(
        self, sequences: Sequence[str], *, batch: int = 16, average_strands: bool = False
    ) -> np.ndarray | list[np.ndarray]:
        """Probabilities or values [n, C] of bases of either case; for one class a position, a list of [L, C].

        Raises InputError, naming the sequence by its number from 1, for what is no base, empty, or above l_max.
        """
        tokens = [read_bases(text, f"sequence {number:,}") for number, text in enumerate(sequences, start=1)]
        for number, found in enumerate(tokens, start=1):
            if len(found) + 1 > self._l_max:
                raise InputError(
                    f"sequence {number:,} has {len(found):,} bases and [SEP], the model's l_max is {self._l_max:,} "
                    "tokens; shorten it, or take a longer model"
                )
        if not tokens:
            return np.empty((0, len(self.classes)))
        targets = [np.zeros(len(found) if self.by_position else ()) for found in tokens]
        predictor = Predictor(
            forward=self._forward,
            sequence=WholeSequence(),
            dimensions=ParallelDimensions(1),
            data_rank=0,
            batch=batch,
            device=self._device,
            share=lambda table: table,
        )
        found_set = ExampleSet(tokens, targets, by_position=self.by_position)
        outputs = predictor.outputs(found_set, len(self.classes), average_strands=average_strands)
        if self.by_position:
            return [probabilities(self._kind, rows) for rows in outputs]
        return probabilities(self._kind, np.stack(outputs))


def open_trained(source: str, device: torch.device) -> TrainedTask:
    """The fine-tuned model at `source`: a run, its export, or a name on the hub.

    Raises InputError where it carries no head.
    """
    pretrained = read_pretrained(source)
    if pretrained.head is None:
        raise InputError(f"{source} carries no head of a task; fine-tune it with launch/finetune.py")
    return TrainedTask(source, pretrained, pretrained.head, device)
