"""The short convolution with its gates as autograd functions over Triton kernels; they keep their inputs alone."""

from typing import Any

import torch
import triton
from torch import Tensor
from torch.autograd.function import once_differentiable

from hyena_ds.ops.short_convolution.kernels import finish_backward, finish_forward, gate_backward, gate_forward

ROWS, CHANNELS = 32, 64
# The narrowest product.
LEAST_CHANNELS = 16
FORWARD_WARPS, BACKWARD_WARPS = 4, 8
# Programs of a backward pass, which fill a GPU several times over; each leaves its part of the parameters' gradients.
PROGRAMS = 4096


def fused_gate(projected: Tensor, weight: Tensor, bias: Tensor, context: int) -> Tensor:
    """As `short_convolution_gate` without `keep`."""
    signal: Tensor = _Gate.apply(_with_contiguous_channels(projected), weight, bias, context)
    return signal


def fused_finish(projected: Tensor, weight: Tensor, bias: Tensor, value: Tensor, context: int) -> Tensor:
    """As `short_convolution_finish` without `keep`."""
    output: Tensor = _Finish.apply(_with_contiguous_channels(projected), weight, bias, value, context)
    return output


def _with_contiguous_channels(value: Tensor) -> Tensor:
    return value if value.stride(2) == 1 and (value.stride(0) % 2 == 0 or value.shape[0] == 1) else value.contiguous()


def _pairs(value: Tensor) -> int:
    """The batch stride in pairs of elements; that of one sample alone counts for nothing."""
    return value.stride(0) // 2 if value.shape[0] > 1 else 0


def _block(channels: int) -> int:
    block: int = max(LEAST_CHANNELS, min(CHANNELS, triton.next_power_of_2(channels)))
    return block


class _Gate(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, projected: Tensor, weight: Tensor, bias: Tensor, context: int) -> Tensor:
        batch, rows, width = projected.shape
        channels, length = width // 2, rows - context
        weight, bias = weight.contiguous(), bias.contiguous()
        signal = projected.new_empty(batch, channels, length)
        block = _block(channels)
        gate_forward[triton.cdiv(length, ROWS), triton.cdiv(channels, block), batch](
            projected, weight, bias, signal, _pairs(projected), channels, length, context,
            WIDTH=weight.shape[2], STRIDE=projected.stride(1), ROWS=ROWS, CHANNELS=block, num_warps=FORWARD_WARPS,
        )  # fmt: skip
        ctx.save_for_backward(projected, weight, bias)
        ctx.context = context
        return signal

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor, Tensor, None]:
        projected, weight, bias = ctx.saved_tensors
        (received,) = gradients
        batch, rows, width = projected.shape
        channels = width // 2
        plan = _BackwardPlan(batch, rows, channels, weight.shape[2])
        gradient = torch.empty(projected.shape, dtype=projected.dtype, device=projected.device)
        partial = plan.partial(weight, 2)
        gate_backward[plan.grid](
            received, projected, weight, bias, gradient, partial, *received.stride(), _pairs(projected),
            _pairs(gradient), channels, rows - ctx.context, ctx.context, plan.share,
            WIDTH=weight.shape[2], STRIDE=projected.stride(1), GRADIENT_STRIDE=gradient.stride(1),
            ROWS=ROWS, CHANNELS=plan.block, WARPS=BACKWARD_WARPS, num_warps=BACKWARD_WARPS,
        )  # fmt: skip
        return gradient, *_parameter_gradients(partial, weight, bias), None


class _Finish(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, projected: Tensor, weight: Tensor, bias: Tensor, value: Tensor, context: int) -> Tensor:
        batch, rows, channels = projected.shape
        length = rows - context
        weight, bias = weight.contiguous(), bias.contiguous()
        output = projected.new_empty(batch, length, channels)
        block = _block(channels)
        finish_forward[triton.cdiv(length, ROWS), triton.cdiv(channels, block), batch](
            projected, weight, bias, value, output, _pairs(projected), *value.stride(), channels, length, context,
            WIDTH=weight.shape[2], STRIDE=projected.stride(1), ROWS=ROWS, CHANNELS=block, num_warps=FORWARD_WARPS,
        )  # fmt: skip
        ctx.save_for_backward(projected, weight, bias, value)
        ctx.context = context
        return output

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor, None]:
        projected, weight, bias, value = ctx.saved_tensors
        received = _with_contiguous_channels(gradients[0])
        batch, rows, channels = projected.shape
        plan = _BackwardPlan(batch, rows, channels, weight.shape[2])
        gradient = torch.empty(projected.shape, dtype=projected.dtype, device=projected.device)
        value_gradient = torch.empty(value.shape, dtype=value.dtype, device=value.device)
        partial = plan.partial(weight, 1)
        finish_backward[plan.grid](
            received, projected, weight, bias, value, gradient, value_gradient, partial, _pairs(received),
            _pairs(projected), *value.stride(), _pairs(gradient), channels, rows - ctx.context, ctx.context, plan.share,
            WIDTH=weight.shape[2], RECEIVED_STRIDE=received.stride(1), STRIDE=projected.stride(1),
            GRADIENT_STRIDE=gradient.stride(1), ROWS=ROWS, CHANNELS=plan.block, WARPS=BACKWARD_WARPS,
            num_warps=BACKWARD_WARPS,
        )  # fmt: skip
        return gradient, *_parameter_gradients(partial, weight, bias), value_gradient, None


class _BackwardPlan:
    """How the programs of a backward pass share its tiles, and where they leave the parameters' gradients."""

    def __init__(self, batch: int, rows: int, channels: int, width: int) -> None:
        self.block = _block(channels)
        tiles = triton.cdiv(rows, ROWS - width + 1)
        blocks = triton.cdiv(channels, self.block)
        self.share = max(1, tiles * blocks * batch // PROGRAMS)
        self.grid = (triton.cdiv(tiles, self.share), blocks, batch)

    def partial(self, weight: Tensor, parts: int) -> Tensor:
        """[programs, parts, taps and bias, channels] fp32."""
        channels, _, width = weight.shape
        shape = (self.grid[0] * self.grid[2], parts, width + 1, channels // parts)
        return torch.empty(shape, dtype=torch.float32, device=weight.device)


def _parameter_gradients(partial: Tensor, weight: Tensor, bias: Tensor) -> tuple[Tensor, Tensor]:
    total = partial.sum(0)  # [parts, taps and bias, channels / parts]
    taps = total[:, :-1].transpose(1, 2).reshape(weight.shape)
    return taps.to(weight.dtype), total[:, -1].flatten().to(bias.dtype)
