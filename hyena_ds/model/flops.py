"""Floating-point operations of a training step, the convolution's own included."""

import math

from hyena_ds.model.config import ModelConfig

# A complex FFT of N points costs 5 N log2 N (Cooley and Tukey 1965); the right-angle convolution runs three over N = L.
FFTS_PER_CONVOLUTION = 3
COMPLEX_PRODUCT = 6
# The backward pass computes two products for each of the forward's.
TRAINING_PASSES = 3


def dense_flops_per_token(config: ModelConfig) -> float:
    """Forward multiply-adds, counted as 2, of projections, MLP, short filter, gates and head, for one token."""
    width, inner, order = config.d_model, config.inner_width, config.order
    projections = 2 * width * width * (order + 1) + 2 * width * width
    short_filter = 2 * config.short_filter_order * (order + 1) * width
    gates = 3 * order * width
    mlp = 4 * width * inner
    return float(config.n_layer * (projections + short_filter + gates + mlp) + 2 * width * 16)


def filter_flops(config: ModelConfig, length: int) -> float:
    """Forward operations of the implicit filters of all layers at `length`, paid once a micro-batch."""
    hidden = config.filter_order
    channels = config.d_model * (config.order - 1)
    network = 2 * hidden * (config.emb_dim + config.num_inner_mlps * hidden + channels)
    return float(config.n_layer * length * (network + 3 * channels))


def convolution_flops(config: ModelConfig, length: int, batch: int) -> float:
    """Forward operations of the long convolutions of all layers; the filter's FFT is shared by the batch."""
    channels = config.d_model * (config.order - 1)
    transform = 5 * length * math.log2(max(length, 2))
    signal = batch * ((FFTS_PER_CONVOLUTION - 1) * transform + COMPLEX_PRODUCT * length)
    return float(config.n_layer * channels * (signal + transform))


def training_flops(config: ModelConfig, length: int, batch: int) -> float:
    """Operations of forward and backward for a micro-batch [batch, length], recomputation not counted."""
    dense = dense_flops_per_token(config) * length * batch
    return TRAINING_PASSES * (dense + filter_flops(config, length) + convolution_flops(config, length, batch))
