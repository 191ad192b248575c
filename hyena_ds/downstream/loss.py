"""The loss of each kind of task as a sum over targets, so that how a step is split never changes it."""

from collections.abc import Sequence
from typing import Literal

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from hyena_ds.downstream.labels import IGNORED
from hyena_ds.errors import InputError
from hyena_ds.hub.task_head import TaskKind


def loss_sum(kind: TaskKind, outputs: Tensor, targets: Tensor, weights: Tensor | None = None) -> Tensor:
    """The loss summed over targets, fp32 scalar, of outputs [B, C] or [B, L, C]; `weights` [C] are the classes'."""
    outputs = outputs.float()
    match kind:
        case "regression":
            return functional.mse_loss(outputs, targets, reduction="sum")
        case "multilabel":
            return functional.binary_cross_entropy_with_logits(outputs, targets.float(), reduction="sum")
    return functional.cross_entropy(
        outputs.flatten(0, -2), targets.flatten(), weights, reduction="sum", ignore_index=IGNORED
    )


def count_targets(kind: TaskKind, targets: np.ndarray) -> int:
    """How many targets the loss sums over."""
    return int(np.count_nonzero(targets != IGNORED)) if kind == "position" else int(targets.size)


def class_weights(
    asked: Literal["none", "balanced"] | tuple[float, ...], targets: Sequence[np.ndarray], classes: Sequence[str]
) -> Tensor | None:
    """Weights [C] fp32, of mean 1 over the training targets, so that the learning rate keeps its meaning."""
    if asked == "none":
        return None
    labels = np.concatenate([target.reshape(-1) for target in targets])
    counts = np.bincount(labels[labels != IGNORED], minlength=len(classes))
    if isinstance(asked, str):
        weights = counts.sum() / np.maximum(counts, 1) / np.count_nonzero(counts)
    elif len(asked) == len(classes) and min(asked) > 0:
        weights = np.array(asked) * counts.sum() / (counts @ np.array(asked))
    else:
        raise InputError(f"class_weights={list(asked)} must hold a number above 0 for each of {', '.join(classes)}")
    return torch.tensor(weights, dtype=torch.float32)
