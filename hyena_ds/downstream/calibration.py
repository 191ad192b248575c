"""Probabilities as the validation set shows them: one temperature and a bias for each class behind a head."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from hyena_ds.hub.target_scale import rescaled


@dataclass(frozen=True)
class Calibration:
    """Outputs x [n, C] become `scale` * x + `biases` [C], fp64: bias-corrected temperature scaling.

    Alexandari, Kundaje and Shrikumar 2020.
    """

    scale: float
    biases: np.ndarray

    @classmethod
    @torch.enable_grad()
    def fit(cls, outputs: Sequence[np.ndarray], targets: Sequence[np.ndarray]) -> "Calibration":
        """What makes the class numbers `targets` likeliest, given the `outputs` [C] of each example.

        The logarithm of the scale and the biases each have a standard normal prior: outputs that tell all examples
        apart would grow without end.
        """
        given, classes = torch.from_numpy(np.stack(outputs)).double(), torch.from_numpy(np.stack(targets))
        unknown = torch.zeros(1 + given.shape[1], dtype=torch.float64, requires_grad=True)
        optimizer = torch.optim.LBFGS([unknown], max_iter=100, line_search_fn="strong_wolfe")

        def loss() -> Tensor:
            optimizer.zero_grad()
            calibrated = given * unknown[0].exp() + unknown[1:]
            nats = functional.cross_entropy(calibrated, classes, reduction="sum") + unknown.square().sum() / 2
            nats.backward()
            return nats

        optimizer.step(loss)
        found = unknown.detach()
        return cls(float(found[0].exp()), found[1:].numpy())

    def outputs(self, given: Sequence[np.ndarray]) -> list[np.ndarray]:
        """The calibrated outputs of each example."""
        return [self.scale * row + self.biases for row in given]

    def folded(self, head: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """The fp32 tensors of a head as those of one that gives calibrated outputs."""
        biases = torch.from_numpy(self.biases).float()
        return rescaled(head, torch.full_like(biases, self.scale), biases)
