"""One rank of test_engine.py: trains steps in every case of settings and saves what came out.

`python step_worker.py OUTPUT SEQUENCE_PARALLEL_SIZE pairs|half|grid`: rank 0 writes gradients, parameters, losses and
norms.
"""

import itertools
import sys
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from hyena_ds.engine.config import EngineConfig, OptimizerConfig
from hyena_ds.engine.distributed import leave, start
from hyena_ds.engine.engine import TrainingEngine
from hyena_ds.engine.optimizer_state import AVERAGE, STATES, gather_parameters, gather_state, update_average
from hyena_ds.model.block import Block
from hyena_ds.model.config import ModelConfig
from hyena_ds.model.dropout import dropout_keys
from hyena_ds.model.execution import KEPT_FILTER_BYTES, Execution
from hyena_ds.model.language_model import HyenaLanguageModel
from hyena_ds.model.parameters import is_filter_parameter
from hyena_ds.model.sequence import SequencePart, WholeSequence, own_positions
from hyena_ds.parallel.dimensions import ParallelDimensions
from hyena_ds.parallel.environment import read_environment
from hyena_ds.parallel.sequence import SequenceGroup

SAMPLES, LENGTH, STEPS = 8, 24, 3
DECAY = 0.28  # of the average: reached at the third step
OPTIMIZER = OptimizerConfig(
    learning_rate=1e-2, filter_learning_rate=5e-3, gradient_clipping=0.5, warmup_fraction=0.0, epsilon=1e-3
)
MODELS = {"order 2": {}, "order 3": {"order": 3}, "bidirectional": {"bidirectional": True}}
INPUTS = ("plain", "mask", "dropout")
ZERO_STAGES = (0, 1, 2, 3)
CHECKPOINTING = ("none", "mixer", "mlp", "block")
PARTS = (1, 2)


class Case(NamedTuple):
    """`parts` are the micro-batches of a step."""

    zero_stage: int
    checkpointing: str
    parts: int
    inputs: str
    model: str


def grid() -> list[Case]:
    """Every case."""
    return [Case(*values) for values in itertools.product(ZERO_STAGES, CHECKPOINTING, PARTS, INPUTS, MODELS)]


def pairs() -> list[Case]:
    """Sixteen cases in which every value of a setting meets every value of every other."""
    models = list(MODELS)
    return [
        Case(stage, CHECKPOINTING[number], PARTS[(stage + number // 2) % 2], INPUTS[(stage + number) % 3],
             models[(stage + 2 * number) % 3])
        for stage, number in itertools.product(ZERO_STAGES, range(4))
    ]  # fmt: skip


def half() -> list[Case]:
    """Eight of `pairs`, with every value of every setting, for the largest world; the others run them all."""
    return [case for number, case in enumerate(pairs()) if (number + number // 4) % 2 == 0]


CASES = {"pairs": pairs, "half": half, "grid": grid}


@dataclass(frozen=True)
class Batch:
    """Tokens [S, L + 1], which targets count [S, L], which inputs are no padding [S, L]."""

    tokens: Tensor
    counted: Tensor
    mask: Tensor


def make_batch(step: int) -> Batch:
    """From all targets of a sample to none count; padding stands on the left, on the right, or nowhere."""
    generator = torch.Generator().manual_seed(step)
    tokens = torch.randint(7, 11, (SAMPLES, LENGTH + 1), generator=generator)
    share = torch.linspace(0, 1, SAMPLES)[torch.randperm(SAMPLES, generator=generator)]
    counted = torch.rand(SAMPLES, LENGTH, generator=generator) < share[:, None]
    mask = torch.ones(SAMPLES, LENGTH, dtype=torch.int64)
    mask[1, :7] = 0
    mask[2, 15:] = 0
    mask[5, :11] = 0  # reaches into the halo of a slice that begins at 12
    return Batch(tokens, counted, mask)


def make_model(case: Case, sequence: SequencePart) -> HyenaLanguageModel:
    """A model whose filters matter, computed in tiles that divide nothing."""
    torch.manual_seed(0)
    dropout = 0.2 if case.inputs == "dropout" else 0.0
    config = ModelConfig(
        d_model=16, n_layer=2, l_max=32, filter_order=8,
        embed_dropout=dropout, resid_dropout=dropout / 2, hyena_dropout=dropout / 2, **MODELS[case.model],
    )  # fmt: skip
    execution = Execution(
        case.checkpointing,  # type: ignore[arg-type]
        tile_tokens=20,
        kept_filter_bytes=0 if case.parts == 1 else KEPT_FILTER_BYTES,
        sequence=sequence,
    )
    model = HyenaLanguageModel(config, execution)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if is_filter_parameter(name) and "freq" not in name:
                parameter.mul_(5)
    return model


def loss_of(step: int, case: Case, sequence: SequencePart) -> Any:
    """The loss function of some rows of a step's batch."""

    def loss(module: nn.Module, rows: Tensor) -> Tensor:
        batch = make_batch(step)
        inputs, targets, counted, mask = (
            own_positions(sequence, value[rows])
            for value in (batch.tokens[:, :-1], batch.tokens[:, 1:], batch.counted, batch.mask)
        )
        nats = module(
            inputs,
            attention_mask=mask if case.inputs == "mask" else None,
            dropout_keys=dropout_keys(1, step, rows),
            targets=targets,
        )
        total: Tensor = (nats * counted).sum()
        return total

    return loss


def run_case(case: Case, sequence: SequencePart, rows: Any) -> dict[str, Any]:
    model = make_model(case, sequence)
    engine = TrainingEngine(
        model,
        engine=EngineConfig(zero_stage=case.zero_stage, precision="fp32", parameter_persistence_threshold=0),  # type: ignore[arg-type]
        optimizer=OPTIMIZER,
        total_steps=STEPS,
        is_filter_parameter=is_filter_parameter,
        device=torch.device("cpu"),
        whole_modules=(Block,),
        micro_batch_begins=model.backbone.execution.filter_reuse.begin,
    )
    found: dict[str, Any] = {"loss": [], "norm": []}
    for step in range(STEPS):
        valid = int(make_batch(step).counted.sum())
        local_loss = engine.accumulate(rows, loss_of(step, case, sequence), valid_targets=valid)
        if step == 0:
            found["gradients"] = engine.full_gradients()
        result = engine.apply(local_loss, valid_targets=valid, step=step)
        found["loss"].append(result.loss)
        found["norm"].append(result.grad_norm)
        update_average(engine, DECAY, step + 1)
    # Clones: at stage 0 what is gathered are the parameters themselves.
    found["parameters"] = {name: value.clone() for name, value in gather_parameters(engine).items()}
    found["average"] = {name: value.clone() for name, value in gather_state(engine, AVERAGE).items()}
    found["after_nan"] = _step_with_nan(engine, rows, case, sequence)
    found["before_drop"] = _everything(engine)
    found["after_drop"] = _dropped_step(engine, rows, loss_of(0, case, sequence))
    engine.close()
    return found


def _step_with_nan(engine: TrainingEngine, rows: Any, case: Case, sequence: SequencePart) -> dict[str, Any]:
    """Parameters after a step whose gradient is not a number."""

    def loss(module: nn.Module, part: Tensor) -> Tensor:
        return loss_of(0, case, sequence)(module, part) * float("nan")

    result = engine.train_step(rows, loss, valid_targets=1, step=0)
    return {"skipped": result.skipped, "parameters": gather_parameters(engine)}


def _everything(engine: TrainingEngine) -> dict[str, Tensor]:
    states = {f"{state} {name}": value for state in STATES for name, value in gather_state(engine, state).items()}
    return {name: value.clone() for name, value in (gather_parameters(engine) | states).items()}


def _dropped_step(engine: TrainingEngine, rows: Any, loss: Any) -> dict[str, Tensor]:
    """Parameters and all states after a step that was dropped before its last micro-batch, the engine's last."""
    if len(rows) == 1:
        return {}
    calls = iter(range(1, len(rows)))

    def drop_at_last() -> None:
        if next(calls) == len(rows) - 1:
            raise InterruptedError

    with suppress(InterruptedError):
        engine.train_step(rows, loss, valid_targets=1, step=0, between_micro_batches=drop_at_last)
        raise AssertionError("the step was not dropped")
    return _everything(engine)


def main() -> None:
    output, size, kind = Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
    environment = read_environment()
    start(environment)
    dimensions = ParallelDimensions(environment.world_size, size)
    sequence: SequencePart = WholeSequence() if size == 1 else SequenceGroup(dimensions, environment.rank)
    own = torch.arange(SAMPLES).chunk(dimensions.data_parallel_size)[dimensions.data_rank(environment.rank)]
    results = {tuple(case): run_case(case, sequence, own.tensor_split(case.parts)) for case in CASES[kind]()}
    if environment.is_main:
        torch.save(results, output)
    leave()


if __name__ == "__main__":
    main()
