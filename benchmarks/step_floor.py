"""The least time that each part of a training step can take on an H200, nothing computed twice.

Each big tensor is read once and written once a pass at the rate of a device-to-device copy; products run at the rate of
a large one.
"""

from benchmarks.kernel_groups import Group
from hyena_ds.model.config import ModelConfig
from hyena_ds.ops.long_convolution.triton.plan import factors_of

# Read on an H200: bytes of a copy (read plus written) and bf16 operations of an 8192-cubed product, a second.
BYTES_PER_SECOND, FLOPS_PER_SECOND = 4.2e12, 770e12
NARROW, WIDE = 2, 4  # bytes of bf16 and fp32


def floor_milliseconds(config: ModelConfig, length: int, batch: int, parameters: int) -> dict[Group, float]:
    """By part of one step on [batch, length] tokens of an order 2 model, without dropout."""
    tokens, layers, width = length * batch, config.n_layer, config.d_model
    stream = tokens * width  # elements of one activation
    return {
        Group.GEMM: layers * _linear_maps(tokens, width, config.inner_width),
        # Forward: signal to output; backward: gradient and signal to gradient. The filter, its gradient and both reads.
        Group.LONG_CONVOLUTION: layers * _moved(5 * NARROW * stream + 3 * WIDE * length * width),
        Group.FILTER: layers * _moved(2 * WIDE * length * width),
        # Gate: 2 + 1 forward, 3 + 2 backward; finish: the same.
        Group.SHORT_CONVOLUTION: layers * _moved(16 * NARROW * stream),
        # Forward: hidden and residual to residual and normalised; backward: their gradients and the residual to two.
        Group.NORM: (2 * layers + 1) * _moved((2 + 3) * NARROW * stream + (2 + 3) * WIDE * stream),
        Group.MLP: layers * _moved(5 * NARROW * tokens * config.inner_width),
        Group.EMBEDDING: _moved(2 * NARROW * stream),
        Group.LOSS: _moved(3 * WIDE * stream),
        # Gradient, parameter and two moments read, the last three written.
        Group.OPTIMIZER: _moved(7 * WIDE * parameters),
    }


def _moved(count: float) -> float:
    return count / BYTES_PER_SECOND * 1e3


def _linear_maps(tokens: int, width: int, inner: int) -> float:
    """Three products for each linear map of a layer, each bound by arithmetic or by its reads and writes."""
    maps = [(width, 3 * width), (width, width), (width, inner), (inner, width)]
    return sum(
        3 * max(2 * tokens * wide * high / FLOPS_PER_SECOND * 1e3, _moved(NARROW * tokens * (wide + high)))
        for wide, high in maps
    )


def convolution_passes_milliseconds(length: int, batch: int, channels: int) -> float:
    """Of the passes of the long convolution's `fast` backend, forward and backward, bf16 signal and fp32 filter."""
    factors = factors_of(length)
    values, taps = NARROW * batch * channels * length, WIDE * channels * length
    if factors.outer == 1:
        # Filtered: in, out; correlated: signal, gradient; the gradient filtered: in, out. The filter and its gradient.
        return _moved(6 * values + 2 * taps)
    planes, spectra = (WIDE * count * channels * factors.points for count in (batch, 1))
    # Forward: columns write planes, rows read them and write two, columns read them; backward: the same, but rows read
    # two and write one. The filter's: columns, rows twice, and the product's; their gradient's: product, rows, columns.
    return _moved(6 * values + 10 * planes + 7 * spectra + 2 * taps)
