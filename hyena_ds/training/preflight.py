"""One step of every stage on the real machine, before hours are spent: does it fit, how fast is it."""

import time
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from hyena_ds.engine.engine import TrainingEngine
from hyena_ds.genome.alphabet import A, T
from hyena_ds.model.dropout import dropout_keys
from hyena_ds.model.sequence import SequencePart
from hyena_ds.training.loss import token_loss_sum


@dataclass(frozen=True)
class StepMeasurement:
    """What one optimizer step took on this rank: seconds, and the most memory allocated during it."""

    seconds: float
    peak_bytes: int


def measure_step(
    engine: TrainingEngine, sequence: SequencePart, *, batch: int, length: int, micro_batches: int = 1
) -> StepMeasurement:
    """One optimizer step on random bases [batch, length] a micro-batch; changes the parameters."""
    generator = torch.Generator().manual_seed(length)
    tokens = torch.randint(A, T + 1, (batch, length + 1), generator=generator, dtype=torch.uint8)

    def loss(module: nn.Module, numbers: Tensor) -> Tensor:
        keys = dropout_keys(0, 0, numbers.to(engine.device))
        return token_loss_sum(module, tokens.to(engine.device), sequence, ignore_n=True, dropout_keys=keys)

    engine.reset_peak_memory()
    engine.synchronize()
    started = time.perf_counter()
    numbers = torch.arange(batch)
    engine.train_step([numbers] * micro_batches, loss, valid_targets=batch * length * micro_batches, step=0)
    engine.synchronize()
    return StepMeasurement(time.perf_counter() - started, engine.peak_memory_bytes())
