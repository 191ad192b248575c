"""One step of every stage on the real machine, before hours are spent: does it fit, how fast is it."""

import time
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from hyena_ds.engine.engine import TrainingEngine
from hyena_ds.errors import InputError
from hyena_ds.genome.alphabet import A, T
from hyena_ds.model.dropout import dropout_keys
from hyena_ds.model.sequence import SequencePart
from hyena_ds.training.advice import advise
from hyena_ds.training.build import build_engine, build_model, sequence_part
from hyena_ds.training.check import CheckedRun
from hyena_ds.training.forecast import StageForecast, forecast_stage
from hyena_ds.training.loss import token_loss_sum
from hyena_ds.training.stages import Stage

GIB = 2**30


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


def preflight(checked: CheckedRun, device: torch.device) -> None:
    """Measure a step of every stage and print it beside what was predicted; the run's own state is not touched.

    Raises InputError at the first stage that runs out of memory.
    """
    sequence = sequence_part(checked.dimensions, checked.environment.rank)
    engine = build_engine(build_model(checked.config, sequence), checked.config, 1, device)
    if checked.environment.is_main:
        print("preflight: stage, length: GiB predicted and measured, seconds a step predicted and measured", flush=True)
    for stage in checked.schedule.stages:
        plan = checked.step_plan(stage)
        predicted = forecast_stage(checked.config, checked.dimensions, stage)
        try:
            for _ in range(2):  # the first step makes plans and compiles
                measured = measure_step(engine, sequence, batch=plan.largest_micro_batch, length=stage.length)
        except torch.OutOfMemoryError:
            raise InputError(_too_large(checked, stage, device)) from None
        if checked.environment.is_main:
            print(_line(predicted, measured, device), flush=True)
    engine.close()
    if device.type == "cuda":
        torch.cuda.empty_cache()


def _line(predicted: StageForecast, measured: StepMeasurement, device: torch.device) -> str:
    stage, seconds = predicted.stage, measured.seconds * predicted.accumulation
    if device.type != "cuda":  # what is predicted is a GPU's
        return f"  stage {stage.number}, {stage.length:,}: {measured.peak_bytes / GIB:.2f} GiB, {seconds:.2f} s"
    return (
        f"  stage {stage.number}, {stage.length:,}: {predicted.peak_bytes / GIB:.2f} and "
        f"{measured.peak_bytes / GIB:.2f} GiB, {predicted.seconds:.2f} and {seconds:.2f} s"
    )


def _too_large(checked: CheckedRun, stage: Stage, device: torch.device) -> str:
    memory = torch.cuda.get_device_properties(device).total_memory
    advice = advise(checked.config, checked.dimensions, stage, memory)
    return (
        f"stage {stage.number} of length {stage.length:,} does not fit into {memory / GIB:.0f} GiB with "
        f"micro_batch={stage.micro_batch}; try {advice}"
    )
