"""What a stage will take, told without a GPU: memory by part, operations, and about how long.

The formulas count the tensors that are alive; docs/memory.md derives them and holds them against measured peaks.
"""

from dataclasses import dataclass

import torch

from hyena_ds.engine.config import EngineConfig
from hyena_ds.model.config import ModelConfig
from hyena_ds.model.execution import KEPT_FILTER_BYTES
from hyena_ds.model.flops import training_flops
from hyena_ds.model.language_model import HyenaLanguageModel
from hyena_ds.model.parameters import count_parameters
from hyena_ds.ops.long_convolution.right_angle import GPU_CHUNK_ELEMENTS, fast_length
from hyena_ds.ops.long_convolution.triton.plan import CHUNK_ELEMENTS, LONGEST, SHORT
from hyena_ds.parallel.dimensions import ParallelDimensions
from hyena_ds.training.config import RunConfig
from hyena_ds.training.stages import Stage

FP32, COMPLEX64, COMPLEX32 = 4, 8, 4
# Complex tensors of one chunk of channels that the backward pass of the convolution by torch holds at once.
FFT_BUFFERS = 7
# Bytes an element [B, L/P, D] that are alive at the peak besides what is kept: gradients on their way down.
PASSING_BYTES = 10.6
# Bytes an element of a tile, with its gradients: most are the MLP's.
TILE_BYTES = {"none": 0, "mixer": 16, "mlp": 40, "block": 40}
# Bytes an element that are on their way between the ranks of a sequence.
EXCHANGE_BYTES = 3.6
# Seconds an element [B, L, D] and layer on an H200, and a filter element [D, L] (benchmarks/one_gpu.sh): `none` at
# 32,768, `block` at 2^20, and between them `mlp` and `mixer` as their steps at 2^18 lie.
SECONDS = {"none": 1.1e-10, "mixer": 1.55e-10, "mlp": 1.35e-10, "block": 1.75e-10}
FP32_SLOWDOWN = 2.5
FILTER_SECONDS = 3.2e-11
# What the convolution by torch takes more than that by Triton, an element and layer.
TORCH_SECONDS = 1.6e-10
OFFLOAD_SLOWDOWN = 1.3
# Memory bandwidth in bytes a second by the vendors' data sheets: what sets the pace of these models.
BANDWIDTH = {"h200": 4.8e12, "h100": 3.35e12, "a100": 2.04e12, "l40s": 0.86e12, "v100": 0.9e12}


@dataclass(frozen=True)
class StageForecast:
    """One stage on one GPU: bytes by part, operations and seconds of a step over all GPUs."""

    stage: Stage
    accumulation: int
    parts: dict[str, float]
    flops: float
    seconds: float

    @property
    def peak_bytes(self) -> float:
        return sum(self.parts.values())


def parameter_count(model: ModelConfig) -> int:
    """Trainable parameters of a model of this shape."""
    with torch.device("meta"):
        return count_parameters(HyenaLanguageModel(model))


def forecast_stage(config: RunConfig, dimensions: ParallelDimensions, stage: Stage, gpu: str = "h200") -> StageForecast:
    """Memory and pace of one stage in bf16 (or `engine.precision: fp32`) on GPUs.

    Raises InputError where the GPUs cannot share the windows of a step.
    """
    model, plan = config.model, stage.plan(dimensions.data_parallel_size)
    parts = step_memory(
        model,
        config.engine,
        batch=plan.largest_micro_batch,
        length=stage.length,
        ranks=dimensions.sequence_parallel_size,
        world_size=dimensions.world_size,
        accumulation=plan.accumulation,
    )
    elements = stage.samples * stage.length * model.d_model * model.n_layer
    filters = stage.length * model.d_model * (model.order - 1) * model.n_layer
    filters *= plan.accumulation * dimensions.data_parallel_size
    work = SECONDS[config.engine.activation_checkpointing] * elements + FILTER_SECONDS * filters
    work += 0 if _by_triton(config.engine, stage.length) else TORCH_SECONDS * elements
    slowdown = BANDWIDTH["h200"] / BANDWIDTH[gpu]
    slowdown *= OFFLOAD_SLOWDOWN if config.engine.offload else 1.0
    slowdown *= FP32_SLOWDOWN if config.engine.precision == "fp32" else 1.0
    return StageForecast(
        stage=stage,
        accumulation=plan.accumulation,
        parts=parts,
        flops=training_flops(model, stage.length, stage.samples),
        seconds=work * slowdown / dimensions.world_size,
    )


def step_memory(
    model: ModelConfig, engine: EngineConfig, *, batch: int, length: int, ranks: int, world_size: int,
    accumulation: int = 1,
) -> dict[str, float]:  # fmt: skip
    """Bytes by part on one GPU at the peak of a step: `accumulation` micro-batches [batch, length] on `ranks` GPUs."""
    parameters = parameter_count(model)
    held = 1 / world_size if engine.zero_stage else 1.0
    activation = FP32 if engine.precision == "fp32" else 2
    elements = batch * (length // ranks) * model.d_model
    filter_elements = model.d_model // ranks * (model.order - 1) * length
    tables = FP32 * (model.emb_dim + 1) * model.l_max
    reused = accumulation > 1 and FP32 * filter_elements <= engine.reused_filter_bytes
    return {
        # Parameters, gradients and DeepSpeed's bucket; the optimizer's two moments and, if sharded, its copy.
        "parameters and optimizer": FP32 * parameters * (3 + held * (3 if engine.zero_stage else 2)),
        "tokens and tables": tables + 6 * 8 * batch * length / ranks,
        "kept by the layers": model.n_layer * _kept_bytes(model, engine, activation, elements, length, ranks),
        "filters": FP32 * filter_elements * (1 if _keeps_spectra(engine, length) else 2),
        "filters for all micro-batches": 2 * FP32 * filter_elements * model.n_layer if reused else 0.0,
        "gradients of activations": PASSING_BYTES * elements,
        "exchange between GPUs": EXCHANGE_BYTES * elements if ranks > 1 else 0.0,
        "workspace": max(
            _convolution_bytes(engine, batch, length, model.d_model // ranks),
            _tile_bytes(model, engine, batch * length // ranks),
        ),
    }


def _by_triton(engine: EngineConfig, length: int) -> bool:
    """Whether the long convolution is the fast one, where Triton is installed."""
    served = engine.convolution == "fast" or (engine.convolution == "auto" and engine.precision != "fp32")
    return served and length <= LONGEST


def _keeps_spectra(engine: EngineConfig, length: int) -> bool:
    """Whether the long convolution keeps 16-bit spectra of signal and filter instead of both."""
    return _by_triton(engine, length) and length > SHORT


def _tile_bytes(model: ModelConfig, engine: EngineConfig, tokens: int) -> float:
    """What one tile of what is computed once more holds."""
    return float(TILE_BYTES[engine.activation_checkpointing] * min(engine.tile_tokens, tokens) * model.d_model)


def _convolution_bytes(engine: EngineConfig, batch: int, length: int, channels: int) -> float:
    """What the backward pass of a convolution holds besides inputs and results."""
    if not _by_triton(engine, length):
        points = fast_length(length)
        return FFT_BUFFERS * COMPLEX64 * max(min(GPU_CHUNK_ELEMENTS, batch * channels * points), batch * points)
    if length <= SHORT:
        return 0.0
    # The planes of the output's gradient and of the filters'.
    return COMPLEX32 * min(CHUNK_ELEMENTS, batch * channels * length) * (1 + 1 / batch)


def _kept_bytes(
    model: ModelConfig, engine: EngineConfig, activation: int, elements: int, length: int, ranks: int
) -> float:
    """What one layer keeps for the backward pass."""
    policy, order = engine.activation_checkpointing, model.order
    spectra = _keeps_spectra(engine, length)
    residual = 0 if engine.offload else FP32
    filters = FP32 * (order - 1) * model.d_model // ranks * length
    convolved = elements * (order - 1) * (COMPLEX32 if spectra else activation)
    if policy in ("mixer", "block"):
        # The residual stream, what each long convolution keeps and what leaves it.
        mixer = float(elements * (residual + activation * (order - 1)) + convolved)
        mixer += filters if spectra or filters <= KEPT_FILTER_BYTES else 0
    else:
        # The residual stream, its norm, the projections, what convolutions keep, what leaves them and the last gate.
        mixer = float(elements * (residual + activation * (1 + (order + 1) + 2 * (order - 1))) + convolved)
        mixer += filters
    match policy:
        case "block":
            return mixer
        case "mlp":
            return mixer + elements * FP32
        case _:
            return mixer + elements * (FP32 + activation * (1 + 2 * model.inner_width / model.d_model))
