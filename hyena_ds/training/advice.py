"""A run's stages on given GPUs: what fits, and the least change that makes the rest fit."""

from collections.abc import Iterator
from dataclasses import replace
from itertools import product

from hyena_ds.errors import InputError
from hyena_ds.parallel.dimensions import ParallelDimensions
from hyena_ds.training.config import RunConfig
from hyena_ds.training.forecast import StageForecast, forecast_stage
from hyena_ds.training.stages import Stage, plan_stages

# Of a card's memory, what CUDA, NCCL and the allocator's gaps leave to tensors.
USABLE = 0.94


def forecast_run(config: RunConfig, dimensions: ParallelDimensions, gpu: str) -> list[StageForecast]:
    """Every stage; raises InputError where the GPUs cannot share the windows of a step."""
    schedule = plan_stages(config.stages, config.batch.tokens_per_step)
    return [forecast_stage(config, dimensions, stage, gpu) for stage in schedule.stages]


def fits(forecast: StageForecast, memory_bytes: float) -> bool:
    """Whether a GPU of so much memory can hold the stage."""
    return forecast.peak_bytes <= USABLE * memory_bytes


def advise(config: RunConfig, dimensions: ParallelDimensions, stage: Stage, memory_bytes: float) -> str:
    """The overrides with which `stage` fits, the cheapest in time first; a sentence where none does."""
    for changed, spread, smaller in _changes(config, dimensions, stage):
        try:
            found = forecast_stage(changed, spread, smaller)
        except InputError:  # these GPUs cannot share the windows of a step so
            continue
        if fits(found, memory_bytes):
            return " ".join(_overrides(config, changed, dimensions, spread, stage, smaller))
    return "no setting helps: take more GPUs, GPUs with more memory, or a shorter length"


def _changes(
    config: RunConfig, dimensions: ParallelDimensions, stage: Stage
) -> Iterator[tuple[RunConfig, ParallelDimensions, Stage]]:
    """Ever stronger means: fewer windows at once, recomputation, the host's memory, several GPUs a sequence."""
    engine = config.engine
    engines = [
        engine,
        engine.model_copy(update={"activation_checkpointing": "block"}),
        engine.model_copy(update={"activation_checkpointing": "block", "offload": True}),
    ]
    node = dimensions.ranks_per_node or dimensions.world_size
    degrees = [size for size in range(1, node + 1) if node % size == 0 and _divides(size, config, stage)]
    micro_batches = [max(1, stage.micro_batch >> halvings) for halvings in range(stage.micro_batch.bit_length())]
    for degree, changed, micro_batch in product(degrees, engines, micro_batches):
        if degree >= dimensions.sequence_parallel_size:
            spread = replace(dimensions, sequence_parallel_size=degree)
            yield config.model_copy(update={"engine": changed}), spread, replace(stage, micro_batch=micro_batch)


def _divides(degree: int, config: RunConfig, stage: Stage) -> bool:
    return stage.length % degree == 0 and config.model.d_model % degree == 0


def _overrides(
    config: RunConfig,
    changed: RunConfig,
    dimensions: ParallelDimensions,
    spread: ParallelDimensions,
    stage: Stage,
    smaller: Stage,
) -> Iterator[str]:
    if smaller.micro_batch != stage.micro_batch:
        yield f"stages.{stage.number}.micro_batch={smaller.micro_batch}"
    for name in ("activation_checkpointing", "offload"):
        value = getattr(changed.engine, name)
        if value != getattr(config.engine, name):
            yield f"engine.{name}={str(value).lower()}"
    if spread.sequence_parallel_size != dimensions.sequence_parallel_size:
        yield f"parallel.sequence_parallel_size={spread.sequence_parallel_size}"
