"""The `engine` and `optimizer` sections of a run's config."""

from typing import Literal

from pydantic import Field

from hyena_ds.config.section import Section
from hyena_ds.ops.long_convolution import ConvolutionBackend


class EngineConfig(Section):
    """How a step is computed; none of it changes what is computed, but for the rounding of `precision`.

    `zero_stage` shards nothing (0), optimizer state (1), gradients too (2), parameters too (3). `precision` `auto`
    is bf16 on a GPU and fp32 on a CPU; parameters, gradients, reductions and the filter stay fp32 in bf16 as well.
    `activation_checkpointing` names what is recomputed in the backward pass: it trades time for memory; `offload`
    keeps the input of each mixer in the host's memory, where that is recomputed. What is recomputed goes over
    `tile_tokens` tokens at a time. `convolution` is the long convolution's backend: `fast` keeps 16-bit spectra,
    `exact` and `torch` compute as fp32 does, `auto` is `fast` in bf16 on a GPU. Filters of a layer of at most
    `reused_filter_bytes` are computed once for all micro-batches of a step. Parameters of at most
    `parameter_persistence_threshold` elements are not sharded at stage 3.
    """

    zero_stage: Literal[0, 1, 2, 3] = 0
    precision: Literal["auto", "bf16", "fp32"] = "auto"
    activation_checkpointing: Literal["none", "mixer", "mlp", "block"] = "none"
    offload: bool = False
    tile_tokens: int = Field(default=262_144, gt=0)
    convolution: ConvolutionBackend = "auto"
    reused_filter_bytes: int = Field(default=2**28, ge=0)
    parameter_persistence_threshold: int = Field(default=100_000, ge=0)

    def computes_in_bf16(self, device_type: str) -> bool:
        """What `precision` means on a device."""
        return self.precision == "bf16" or (self.precision == "auto" and device_type == "cuda")


class OptimizerConfig(Section):
    """AdamW with warm-up and cosine decay over all steps of the run.

    The implicit filter's MLP forms a group of its own: `filter_learning_rate` (by default `learning_rate`) and no
    weight decay. `gradient_clipping` bounds the norm of the whole gradient; 0 leaves it as it is. A step whose gradient
    is not finite is skipped; `max_skipped_steps` of them in a row stop the run.
    """

    learning_rate: float = Field(default=6e-4, gt=0)
    filter_learning_rate: float | None = Field(default=None, gt=0)
    weight_decay: float = Field(default=0.1, ge=0)
    betas: tuple[float, float] = (0.9, 0.999)
    epsilon: float = Field(default=1e-8, gt=0)
    gradient_clipping: float = Field(default=1.0, ge=0)
    warmup_fraction: float = Field(default=0.01, ge=0, le=1)
    minimum_learning_rate_fraction: float = Field(default=0.1, ge=0, le=1)
    max_skipped_steps: int = Field(default=10, gt=0)
