"""One rank of test_engine.py: trains steps in every case of settings and saves what came out.

`python step_worker.py OUTPUT`: rank 0 writes gradients, parameters, losses and norms of each case.
"""

import itertools
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from hyena_ds.engine.config import EngineConfig, OptimizerConfig
from hyena_ds.engine.distributed import leave, start
from hyena_ds.engine.engine import TrainingEngine
from hyena_ds.engine.optimizer_state import MOMENTS, gather_moment, gather_parameters
from hyena_ds.model.config import ModelConfig
from hyena_ds.model.dropout import dropout_keys
from hyena_ds.model.language_model import HyenaLanguageModel
from hyena_ds.model.parameters import is_filter_parameter
from hyena_ds.parallel.dimensions import ParallelDimensions
from hyena_ds.parallel.environment import read_environment
from hyena_ds.training.loss import token_loss_sum

SAMPLES, LENGTH, STEPS = 8, 24, 3
MODEL = ModelConfig(
    d_model=16, n_layer=2, l_max=32, filter_order=8, embed_dropout=0.2, resid_dropout=0.1, hyena_dropout=0.1
)
OPTIMIZER = OptimizerConfig(learning_rate=1e-2, filter_learning_rate=5e-3, gradient_clipping=0.5, warmup_fraction=0.0)
CASES = list(itertools.product((0, 1, 2, 3), (1, 3), ("none", "block")))


def make_batch(step: int) -> tuple[Tensor, Tensor]:
    """Tokens [S, L + 1] and which targets count [S, L]: from all of them to none in a sample."""
    generator = torch.Generator().manual_seed(step)
    tokens = torch.randint(7, 11, (SAMPLES, LENGTH + 1), generator=generator)
    share = torch.linspace(0, 1, SAMPLES)[torch.randperm(SAMPLES, generator=generator)]
    counted = torch.rand(SAMPLES, LENGTH, generator=generator) < share[:, None]
    return tokens, counted


def make_model(checkpointing: Any = "none") -> HyenaLanguageModel:
    torch.manual_seed(0)
    model = HyenaLanguageModel(MODEL, activation_checkpointing=checkpointing)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if is_filter_parameter(name) and "freq" not in name:
                parameter.mul_(5)
    return model


def loss_of(step: int) -> Any:
    def loss(module: nn.Module, rows: Tensor) -> Tensor:
        tokens, counted = make_batch(step)
        logits = module(tokens[rows, :-1], dropout_keys=dropout_keys(1, step, rows))
        return token_loss_sum(logits, tokens[rows, 1:], counted[rows])

    return loss


def run_case(stage: Any, parts: int, checkpointing: Any, rank: int, world_size: int) -> dict[str, Any]:
    engine = TrainingEngine(
        make_model(checkpointing),
        dimensions=ParallelDimensions(world_size),
        engine=EngineConfig(zero_stage=stage, precision="fp32", parameter_persistence_threshold=0),
        optimizer=OPTIMIZER,
        total_steps=STEPS,
        is_filter_parameter=is_filter_parameter,
        device=torch.device("cpu"),
    )
    rows = torch.arange(SAMPLES).chunk(world_size)[rank].tensor_split(parts)
    found: dict[str, Any] = {"loss": [], "norm": []}
    for step in range(STEPS):
        valid = int(make_batch(step)[1].sum())
        local_loss = engine.accumulate(rows, loss_of(step), valid_targets=valid)
        if step == 0:
            found["gradients"] = engine.full_gradients()
        result = engine.apply(local_loss, valid_targets=valid, step=step)
        found["loss"].append(result.loss)
        found["norm"].append(result.grad_norm)
    # Clones: at stage 0 what is gathered are the parameters themselves.
    found["parameters"] = {name: value.clone() for name, value in gather_parameters(engine).items()}
    found["after_nan"] = _step_with_nan(engine, rows)
    found["before_drop"], found["after_drop"] = _everything(engine), _dropped_step(engine, rows)
    engine.close()
    return found


def _step_with_nan(engine: TrainingEngine, rows: Any) -> dict[str, Any]:
    """Parameters after a step whose gradient is not a number."""

    def loss(module: nn.Module, part: Tensor) -> Tensor:
        return loss_of(0)(module, part) * float("nan")

    result = engine.train_step(rows, loss, valid_targets=1, step=0)
    return {"skipped": result.skipped, "parameters": gather_parameters(engine)}


def _everything(engine: TrainingEngine) -> dict[str, Tensor]:
    moments = {f"{moment} {name}": value for moment in MOMENTS for name, value in gather_moment(engine, moment).items()}
    return {name: value.clone() for name, value in (gather_parameters(engine) | moments).items()}


def _dropped_step(engine: TrainingEngine, rows: Any) -> dict[str, Tensor]:
    """Parameters and moments after a step that was dropped before its last micro-batch, the engine's last."""
    if len(rows) == 1:
        return {}
    calls = iter(range(1, len(rows)))

    def drop_at_last() -> None:
        if next(calls) == len(rows) - 1:
            raise InterruptedError

    with suppress(InterruptedError):
        engine.train_step(rows, loss_of(0), valid_targets=1, step=0, between_micro_batches=drop_at_last)
        raise AssertionError("the step was not dropped")
    return _everything(engine)


def main() -> None:
    environment = read_environment()
    start(environment)
    results = {case: run_case(*case, environment.rank, environment.world_size) for case in CASES}
    if environment.is_main:
        torch.save(results, Path(sys.argv[1]))
    leave()


if __name__ == "__main__":
    main()
