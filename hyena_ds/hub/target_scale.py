"""What regression learns: targets less their mean, in deviations; heads that leave give the targets' own units."""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

MEAN, DEVIATION = "score.target_mean", "score.target_deviation"
WEIGHT, BIAS = "score.weight", "score.bias"


@dataclass(frozen=True)
class TargetScale:
    """Mean and deviation of the training targets, fp32 [C]."""

    mean: Tensor
    deviation: Tensor

    @classmethod
    def of(cls, targets: Tensor) -> "TargetScale":
        """The scale of targets [n, C]; a constant one keeps its unit."""
        deviation = targets.double().std(dim=0, correction=0)
        return cls(targets.double().mean(dim=0).float(), torch.where(deviation > 0, deviation, 1.0).float())

    def standard(self, values: Tensor) -> Tensor:
        """Values [..., C] as they are learned."""
        return (values - self.mean.to(values.device)) / self.deviation.to(values.device)

    def tensors(self) -> dict[str, Tensor]:
        """As a checkpoint keeps it."""
        return {MEAN: self.mean, DEVIATION: self.deviation}

    def unfolded(self, head: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """A head that gives the targets' own units as one that gives standard ones; the inverse of `folded`."""
        weight, bias = head[WEIGHT] / self.deviation[:, None], (head[BIAS] - self.mean) / self.deviation
        return {**head, WEIGHT: weight, BIAS: bias}


def without_scale(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The tensors that belong to a model's parameters or tables."""
    return {name: tensor for name, tensor in tensors.items() if name not in (MEAN, DEVIATION)}


def rescaled(head: Mapping[str, Tensor], scale: Tensor, shift: Tensor) -> dict[str, Tensor]:
    """A head whose outputs are `scale` [C] times its own, and `shift` [C] more."""
    return {**head, WEIGHT: head[WEIGHT] * scale[:, None], BIAS: head[BIAS] * scale + shift}


def folded(head: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """A head as a checkpoint keeps it, giving the targets' own units; without a scale it stays as it is."""
    tensors = without_scale(head)
    return rescaled(tensors, head[DEVIATION], head[MEAN]) if MEAN in head else tensors
