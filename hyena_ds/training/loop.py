"""The training loop of every run; the order of events is the order of lines."""

import time
from collections.abc import Iterator
from functools import partial
from typing import Any

from torch import Tensor, nn

from hyena_ds.engine.engine import StepResult
from hyena_ds.errors import EXIT_DONE, EXIT_RESTART
from hyena_ds.training.run import Run
from hyena_ds.training.signals import Stopped, StopRequest
from hyena_ds.training.stages import Stage


def train(run: Run, stop: StopRequest, stop_after_steps: int | None = None) -> int:
    """Train until the stages are done, the run is satisfied, a signal comes, or `stop_after_steps` steps are done.

    Returns the exit code: 0 done or as many steps as asked, 75 stopped by a signal with everything saved.
    """
    for stage, done in run.schedule.remaining(run.step):
        if run.satisfied():
            break
        run.progress.say(run.stage_summary(stage))
        try:
            for values in _stage_steps(run, stage, done, stop):
                run.record(values)
                run.check_skipped()
                if run.validation_due():
                    run.validate()
                reached = run.step == stop_after_steps
                if run.checkpoint_due() or run.satisfied() or reached:
                    run.save(stage)
                stop.check()
                if reached:
                    run.progress.say(f"stopped after {run.step:,} steps as asked; the same command goes on from here")
                    return EXIT_DONE
                if run.satisfied():
                    break
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
            result = run.engine.train_step(
                run.micro_batches(batch),
                partial(_loss, run, run.step + 1),
                valid_targets=valid,
                step=run.step,
                between_micro_batches=stop.check,
            )
            run.advance(tokens, skipped=result.skipped)
            yield _measured(run, stage, result, tokens, time.perf_counter() - started)
            started = time.perf_counter()  # validation and checkpoints are not the step's
            run.heartbeat.phase = f"loading data of step {run.step + 1}"


def _loss(run: Run, step: int, module: nn.Module, micro_batch: Any) -> Tensor:
    return run.loss(module, micro_batch, step)


def _measured(run: Run, stage: Stage, result: StepResult, tokens: int, seconds: float) -> dict[str, Any]:
    return {
        "step": run.step,
        "stage": stage.number,
        "length": stage.length,
        "tokens": run.tokens,
        "loss": result.loss,
        "grad_norm": result.grad_norm,
        "learning_rate": result.learning_rate,
        "skipped_steps": run.skipped_steps,
        "tokens_per_second": tokens / seconds,
        "peak_memory_gib": run.engine.peak_memory_bytes() / 2**30,
        **run.describe(stage, result.loss, seconds),
    }
