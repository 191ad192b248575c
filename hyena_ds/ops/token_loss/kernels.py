"""Triton kernel of the next token's cross-entropy; the product is as exact as fp32, the logits never in memory."""

import triton
import triton.language as tl


@triton.jit
def loss_forward(
    hidden, weight, targets, nats, slope, rows, width,
    TOKENS: tl.constexpr, ROWS: tl.constexpr, BLOCK: tl.constexpr, SLOPE: tl.constexpr,
):  # fmt: skip
    """Nats [rows] of hidden states [rows, width]; with SLOPE their gradient by the logits, `slope` [rows, TOKENS]."""
    row = (tl.program_id(0) * ROWS + tl.arange(0, ROWS)).to(tl.int64)[:, None]
    token = tl.arange(0, TOKENS)
    logits = tl.zeros((ROWS, TOKENS), tl.float32)
    for first in range(0, width, BLOCK):
        column = first + tl.arange(0, BLOCK)
        inside = (row < rows) & (column < width)[None, :]
        value = tl.load(hidden + row * width + column[None, :], mask=inside, other=0.0).to(tl.float32)
        place = token[None, :] * width + column[:, None]
        factor = tl.load(weight + place, mask=(column < width)[:, None], other=0.0).to(tl.float32)
        logits = tl.dot(value, factor, logits, input_precision="tf32x3")
    target = tl.load(targets + row, mask=row < rows, other=-1)
    came = token[None, :] == target
    logits -= tl.max(logits, axis=1)[:, None]
    logarithm = logits - tl.log(tl.sum(tl.exp(logits), axis=1))[:, None]
    picked = tl.sum(tl.where(came, logarithm, 0.0), axis=1)[:, None]
    tl.store(nats + row, -picked, mask=row < rows)
    if SLOPE:
        gradient = tl.where(target >= 0, tl.exp(logarithm) - came.to(tl.float32), 0.0)
        tl.store(slope + row * TOKENS + token[None, :], gradient, mask=row < rows)
