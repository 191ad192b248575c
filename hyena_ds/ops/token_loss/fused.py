"""The next token's cross-entropy as an autograd function over a Triton kernel.

It keeps its inputs and 16 numbers a token; the backward pass is two matrix products.
"""

from typing import Any

import torch
import triton
from torch import Tensor
from torch.autograd.function import once_differentiable

from hyena_ds.ops.token_loss.kernels import loss_forward

ROWS, COLUMNS, WARPS = 64, 64, 4


def fused_nats(hidden: Tensor, weight: Tensor, targets: Tensor) -> Tensor:
    """As `token_loss`."""
    nats: Tensor = _TokenLoss.apply(hidden, weight, targets)
    return nats


class _TokenLoss(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, hidden: Tensor, weight: Tensor, targets: Tensor) -> Tensor:
        hidden, weight, targets = hidden.contiguous(), weight.contiguous(), targets.contiguous()
        rows, (tokens, width) = targets.numel(), weight.shape
        differentiated = any(ctx.needs_input_grad)
        nats = torch.empty(targets.shape, dtype=torch.float32, device=hidden.device)
        slope = nats.new_empty(rows if differentiated else 0, tokens)
        loss_forward[(triton.cdiv(rows, ROWS),)](
            hidden, weight, targets, nats, slope, rows, width,
            TOKENS=tokens, ROWS=ROWS, BLOCK=COLUMNS, SLOPE=differentiated, num_warps=WARPS,
        )  # fmt: skip
        ctx.save_for_backward(hidden, weight, slope)
        return nats

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor, None]:
        hidden, weight, slope = ctx.saved_tensors
        to_logits = slope * gradients[0].reshape(-1, 1)
        with torch.autocast(hidden.device.type, enabled=False):
            gradient = (to_logits @ weight.float()).to(hidden.dtype).view_as(hidden)
            weight_gradient = to_logits.T @ hidden.flatten(0, -2).float()
        return gradient, weight_gradient.to(weight.dtype), None
