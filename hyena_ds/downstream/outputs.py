"""What the outputs of a head mean."""

import numpy as np

from hyena_ds.hub.task_head import TaskKind


def probabilities(kind: TaskKind, outputs: np.ndarray) -> np.ndarray:
    """What outputs [n, C] mean: a distribution over classes, one probability a label, or values as they are."""
    if kind == "regression":
        return outputs
    if kind == "multilabel":
        likely: np.ndarray = 1 / (1 + np.exp(-np.clip(outputs, -500, 500)))
        return likely
    grown = np.exp(outputs - outputs.max(axis=1, keepdims=True))
    shares: np.ndarray = grown / grown.sum(axis=1, keepdims=True)
    return shares
