"""Perplexity on fixed windows: A, C, G, T targets only, over all ranks, by species."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from pydantic import Field
from torch import Tensor

from hyena_ds.config.section import Section
from hyena_ds.data.batch import WindowReader, base_targets, inputs_and_targets
from hyena_ds.data.windows import WindowSet
from hyena_ds.engine.distributed import sum_over_ranks
from hyena_ds.model.sequence import SequencePart, own_positions


class ValidationConfig(Section):
    """Every `every_steps` steps, `windows` evenly spaced windows of each species are scored; 0 windows: none.

    `length` is in bases, by default the final stage's; `split` is `valid` or `test`.
    """

    every_steps: int = Field(default=1000, gt=0)
    windows: int = Field(default=256, ge=0)
    length: int | None = Field(default=None, gt=0)
    split: Literal["valid", "test"] = "valid"


@dataclass(frozen=True)
class Score:
    """Negative log-likelihood in nats over `bases` targets."""

    nats: float
    bases: int
    windows: int

    @property
    def loss(self) -> float:
        return self.nats / max(self.bases, 1)

    @property
    def perplexity(self) -> float:
        return math.exp(self.loss)

    @property
    def bits_per_base(self) -> float:
        return self.loss / math.log(2)


Forward = Callable[..., Tensor]


def score_windows(
    forward: Forward,
    reader: WindowReader,
    windows: WindowSet,
    chosen: np.ndarray,
    *,
    data_parallel_size: int,
    data_rank: int,
    sequence: SequencePart,
    batch: int,
    device: torch.device,
) -> Score:
    """The score of the `chosen` windows, the same at any world size.

    Every rank runs the same number of forward passes, which ZeRO 3 needs; a rank without a window left runs one
    that does not count.
    """
    sums = torch.zeros(2, dtype=torch.float64)
    for first in range(0, len(chosen), batch * data_parallel_size):
        mine = chosen[first + data_rank * batch : first + (data_rank + 1) * batch]
        counted = len(mine) > 0
        tokens = torch.from_numpy(reader.read(windows, mine if counted else chosen[:1])).to(device)
        nats, bases = _batch_nats(forward, tokens, sequence)
        if counted:
            sums += torch.stack([nats, bases]).cpu()
    nats, bases = sum_over_ranks(sums).tolist()
    return Score(nats, int(bases), len(chosen))


def _batch_nats(forward: Forward, tokens: Tensor, sequence: SequencePart) -> tuple[Tensor, Tensor]:
    """Summed nats and count of base targets of this rank's part of uint8 tokens [B, L + 1], both float64 scalars."""
    inputs, targets = (own_positions(sequence, part) for part in inputs_and_targets(tokens.long()))
    counted = base_targets(targets)
    return (forward(inputs, targets=targets).double() * counted).sum(), counted.double().sum()


def report(step: int, scores: dict[str, Score]) -> dict[str, Any]:
    """The metrics line of a validation: the total over all species, and each species where there are several."""
    total = Score(
        sum(score.nats for score in scores.values()),
        sum(score.bases for score in scores.values()),
        sum(score.windows for score in scores.values()),
    )
    line: dict[str, Any] = {
        "step": step,
        "validation_loss": total.loss,
        "validation_perplexity": total.perplexity,
        "bits_per_base": total.bits_per_base,
        "windows": total.windows,
    }
    if len(scores) > 1:
        for species, score in scores.items():
            line[f"validation_perplexity/{species}"] = score.perplexity
            line[f"bits_per_base/{species}"] = score.bits_per_base
    return line
