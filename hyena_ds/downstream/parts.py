"""A task's model as its method trains it: what is under the engine, and what stays as it is."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from hyena_ds.downstream.model import FrozenBackbone, HeadAlone, TaskModel
from hyena_ds.downstream.task import Method
from hyena_ds.genome.alphabet import PAD
from hyena_ds.model.parameters import carried_tables
from hyena_ds.model.sequence import SequencePart


class TaskParts:
    """`trained` goes under the engine; `fixed` are the tensors that travel with its checkpoints.

    A probe keeps the features of each row of tokens once they are computed, so that later epochs cost the head alone.
    """

    def __init__(self, model: TaskModel, method: Method, device: torch.device, *, bf16: bool) -> None:
        self.fixed = carried_tables(model)
        self.trained: nn.Module = model
        self._backbone: FrozenBackbone | None = None
        self._kept: dict[bytes, Tensor] | None = {} if method == "probe" else None
        self._sequence: SequencePart = model.backbone.execution.sequence
        if method != "full":
            self.trained = HeadAlone(model)
            names = dict(model.named_parameters())
            frozen = names.keys() - dict(self.trained.named_parameters()).keys()
            self.fixed |= {name: names[name].detach().clone() for name in sorted(frozen)}
            self._backbone = FrozenBackbone(model, device, bf16=bf16)

    def outputs(self, module: Callable[..., Any], tokens: Tensor, keys: Tensor | None = None) -> Tensor:
        """The outputs of token ids [B, L] by `module`: what is trained, as itself or under the engine."""
        if self._backbone is None:
            whole: Tensor = module(tokens, keys)
            return whole
        start = self._sequence.rank * (tokens.shape[1] // self._sequence.size)
        outputs: Tensor = module(self._features(self._backbone, tokens), keys, start)
        return outputs

    def _features(self, backbone: FrozenBackbone, tokens: Tensor) -> Tensor:
        if self._kept is None:
            return backbone.features(tokens)
        names = [_bases(row).tobytes() for row in tokens.cpu()]
        missing = [row for row, name in enumerate(names) if name not in self._kept]
        # Ranks of one sequence miss the same rows, since they are given the same.
        if missing:
            for row, features in zip(missing, backbone.features(tokens[missing]), strict=True):
                self._kept[names[row]] = features
        return torch.stack([self._kept[name] for name in names])


def _bases(row: Tensor) -> Any:
    """A row of token ids without its padding."""
    return row[row != PAD].to(torch.uint8).numpy()
