"""Pretraining from a config to a finished run directory; the order of events is the order of lines."""

import math
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from hyena_ds.engine.distributed import from_main, process_group
from hyena_ds.engine.engine import StepResult
from hyena_ds.errors import EXIT_DONE, EXIT_RESTART, InputError
from hyena_ds.model.dropout import dropout_keys
from hyena_ds.model.flops import training_flops
from hyena_ds.parallel.environment import ProcessEnvironment
from hyena_ds.parallel.heartbeat import Heartbeat
from hyena_ds.training.check import check_run
from hyena_ds.training.config import RunConfig
from hyena_ds.training.loss import token_loss_sum
from hyena_ds.training.preflight import preflight
from hyena_ds.training.run import Run, open_run
from hyena_ds.training.signals import Stopped, StopRequest
from hyena_ds.training.stages import Stage


@dataclass(frozen=True)
class MicroBatch:
    """uint8 tokens [B, L + 1] on the host and the global numbers of their samples [B]."""

    tokens: Tensor
    samples: Tensor


def pretrain(
    config: RunConfig,
    environment: ProcessEnvironment,
    *,
    dry_run: bool = False,
    measure_first: bool = False,
    stop_after_steps: int | None = None,
) -> int:
    """Train until the stages are done, a signal comes, or `stop_after_steps` steps are completed in all.

    Returns the exit code: 0 done, 75 stopped by a signal with everything saved. Where another rank is lost, the
    heartbeat ends this process with 75.
    """
    checked = check_run(config, environment)
    if environment.is_main:
        print(checked.summary(), flush=True)
    if dry_run:
        if environment.is_main:
            print("every check passed; without --dry-run the run starts")
        return EXIT_DONE
    stop = StopRequest()  # before the start, which can take minutes: a signal then waits for the first step
    seconds = config.parallel.heartbeat_seconds
    with process_group(environment) as device, Heartbeat(environment, seconds, from_main) as heartbeat:
        if measure_first:
            preflight(checked, device)
        run = open_run(checked, device, heartbeat)
        try:
            return _train(run, stop, stop_after_steps)
        except InputError as error:
            if environment.world_size > 1:
                error.rank = environment.rank
            raise
        finally:
            run.close()


def _train(run: Run, stop: StopRequest, stop_after_steps: int | None) -> int:
    for stage, done in run.schedule.remaining(run.step):
        run.progress.say(
            f"stage {stage.number}: {stage.steps:,} steps of {stage.samples:,} windows of {stage.length:,} bases"
        )
        try:
            for values in _stage_steps(run, stage, done, stop):
                run.record(values)
                run.check_skipped()
                if run.validation_due():
                    run.validate()
                reached = run.step == stop_after_steps
                if run.checkpoint_due() or reached:
                    run.save(stage)
                stop.check()
                if reached:
                    run.progress.say(f"stopped after {run.step:,} steps as asked; the same command goes on from here")
                    return EXIT_DONE
        except Stopped:
            run.save(stage)
            run.mark_stopped(stop.received or "a signal on another rank")
            return EXIT_RESTART
    run.finish()
    return EXIT_DONE


def _stage_steps(run: Run, stage: Stage, done: int, stop: StopRequest) -> Iterator[dict[str, Any]]:
    """Train the steps of a stage that are left; yields the metrics of each completed step, raises Stopped inside."""
    with run.load(stage, done) as loader:
        started = time.perf_counter()
        run.heartbeat.phase = f"loading data of step {run.step + 1}"
        for batch in loader:
            run.heartbeat.phase = f"training step {run.step + 1}"
            valid, tokens = run.sum_counts(batch.valid, batch.tokens)
            micro_batches = [
                MicroBatch(torch.from_numpy(part), torch.from_numpy(numbers))
                for part, numbers in zip(batch.micro_batches, batch.samples, strict=True)
            ]
            result = run.engine.train_step(
                micro_batches,
                _next_token_loss(run, run.step + 1),
                valid_targets=valid,
                step=run.step,
                between_micro_batches=stop.check,
            )
            run.advance(tokens, skipped=result.skipped)
            yield _measured(run, stage, result, tokens, time.perf_counter() - started)
            started = time.perf_counter()  # validation and checkpoints are not the step's
            run.heartbeat.phase = f"loading data of step {run.step + 1}"


def _next_token_loss(run: Run, step: int) -> Any:
    """The loss function of one step: (module, micro-batch) → summed loss of the local targets."""
    config, device = run.config, run.engine.device

    def loss(module: nn.Module, micro_batch: MicroBatch) -> Tensor:
        tokens = micro_batch.tokens.to(device, non_blocking=True)
        keys = dropout_keys(config.seed, step, micro_batch.samples.to(device))
        return token_loss_sum(module, tokens, run.sequence, ignore_n=config.data.ignore_n, dropout_keys=keys)

    return loss


def _measured(run: Run, stage: Stage, result: StepResult, tokens: int, seconds: float) -> dict[str, Any]:
    flops = training_flops(run.config.model, stage.length, stage.samples)
    peak = run.engine.peak_flops
    return {
        "step": run.step,
        "stage": stage.number,
        "length": stage.length,
        "tokens": run.tokens,
        "loss": result.loss,
        "perplexity": math.exp(min(result.loss, 100.0)),
        "grad_norm": result.grad_norm,
        "learning_rate": result.learning_rate,
        "skipped_steps": run.skipped_steps,
        "tokens_per_second": tokens / seconds,
        "peak_memory_gib": run.engine.peak_memory_bytes() / 2**30,
        "mfu": flops / seconds / (peak * run.environment.world_size) if peak else None,
    }
