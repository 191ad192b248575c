"""The model and the engine of a run, made from its config."""

import torch
from torch import nn

from hyena_ds.engine.engine import TrainingEngine
from hyena_ds.model.block import Block
from hyena_ds.model.execution import Execution
from hyena_ds.model.filter_reuse import FilterReuse
from hyena_ds.model.language_model import HyenaLanguageModel
from hyena_ds.model.parameters import is_filter_parameter
from hyena_ds.model.sequence import SequencePart, WholeSequence
from hyena_ds.parallel.dimensions import ParallelDimensions
from hyena_ds.parallel.sequence import SequenceGroup
from hyena_ds.training.config import RunConfig, TrainingConfig


def sequence_part(dimensions: ParallelDimensions, rank: int) -> SequencePart:
    """What `rank` holds of each sequence; every rank of the world must call it."""
    return WholeSequence() if dimensions.sequence_parallel_size == 1 else SequenceGroup(dimensions, rank)


def execution_of(config: TrainingConfig, sequence: SequencePart) -> Execution:
    """How the config's engine section computes a model on this rank's part of each sequence."""
    engine = config.engine
    return Execution(
        activation_checkpointing=engine.activation_checkpointing,
        offload=engine.offload,
        tile_tokens=engine.tile_tokens,
        filter_reuse=FilterReuse(engine.reused_filter_bytes),
        convolution=engine.convolution,
        sequence=sequence,
    )


def build_model(config: RunConfig, sequence: SequencePart, *, share_tables: bool = True) -> HyenaLanguageModel:
    """The model with the weights that its seed gives, on the CPU."""
    torch.manual_seed(config.seed)
    return HyenaLanguageModel(config.model, execution_of(config, sequence), share_tables=share_tables)


def build_engine(model: nn.Module, config: TrainingConfig, total_steps: int, device: torch.device) -> TrainingEngine:
    """The engine that trains `model`; micro-batches share filters in pretraining, where all have one length."""
    reuse = FilterReuse()
    if isinstance(config, RunConfig):
        reuse = next(module.execution.filter_reuse for module in model.modules() if isinstance(module, Block))
    return TrainingEngine(
        model,
        engine=config.engine,
        optimizer=config.optimizer,
        total_steps=total_steps,
        is_filter_parameter=is_filter_parameter,
        device=device,
        whole_modules=(Block,),
        micro_batch_begins=reuse.begin,
    )
