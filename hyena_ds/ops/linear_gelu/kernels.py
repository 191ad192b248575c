"""Triton kernels of bias and GELU after a matrix product, computed in fp32."""

import triton
import triton.language as tl

ROOT = tl.constexpr(0.7978845608028654)  # sqrt(2 / pi)
CUBIC = tl.constexpr(0.044715)


@triton.jit
def _gate(value):
    """gelu(x) / x by its tanh approximation: (1 + tanh u) / 2 = 1 / (1 + exp(-2 u)), whose exponential stays finite."""
    exponent = -2.0 * ROOT * value * (1.0 + CUBIC * value * value)
    return 1.0 / (1.0 + tl.exp(tl.minimum(exponent, 80.0)))


@triton.jit
def gelu_forward(
    product, bias, output, rows, width, ROWS: tl.constexpr, COLUMNS: tl.constexpr
):  # fmt: skip
    """gelu(product + bias) of [rows, width] into `output`."""
    row = (tl.program_id(0) * ROWS + tl.arange(0, ROWS)).to(tl.int64)[:, None]
    column = (tl.program_id(1) * COLUMNS + tl.arange(0, COLUMNS))[None, :]
    inside = (row < rows) & (column < width)
    place = row * width + column
    value = tl.load(product + place, mask=inside, other=0.0).to(tl.float32)
    value += tl.load(bias + column, mask=column < width, other=0.0).to(tl.float32)
    tl.store(output + place, (value * _gate(value)).to(output.dtype.element_ty), mask=inside)


@triton.jit
def gelu_backward(
    received, product, bias, gradient, partial, rows, width, share,
    ROWS: tl.constexpr, COLUMNS: tl.constexpr, WARPS: tl.constexpr,
):  # fmt: skip
    """The gradient of `product`, and of the bias a program's sum `partial` [programs, width] over `share` tiles."""
    column = (tl.program_id(1) * COLUMNS + tl.arange(0, COLUMNS))[None, :]
    offset = tl.load(bias + column, mask=column < width, other=0.0).to(tl.float32)
    total = tl.zeros((WARPS, COLUMNS), tl.float32)
    for number in range(share):
        row = ((tl.program_id(0) * share + number) * ROWS + tl.arange(0, ROWS)).to(tl.int64)[:, None]
        inside = (row < rows) & (column < width)
        place = row * width + column
        value = tl.load(product + place, mask=inside, other=0.0).to(tl.float32) + offset
        arrived = tl.load(received + place, mask=inside, other=0.0).to(tl.float32)
        gate = _gate(value)
        slope = gate + value * gate * (1.0 - gate) * (2.0 * ROOT * (1.0 + 3.0 * CUBIC * value * value))
        result = arrived * slope
        tl.store(gradient + place, result.to(gradient.dtype.element_ty), mask=inside)
        # Over each warp's rows, of which a thread holds the same columns.
        total += tl.sum(tl.reshape(result, (ROWS // WARPS, WARPS, COLUMNS)), axis=0)
    last = tl.program_id(1) * COLUMNS + tl.arange(0, COLUMNS)
    target = partial + tl.program_id(0).to(tl.int64) * width + last
    tl.store(target, tl.sum(total, axis=0), mask=last < width)
