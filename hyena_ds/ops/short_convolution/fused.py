"""The short convolution with its gates as autograd functions over Triton kernels; they keep their inputs alone."""

from typing import Any

import torch
import triton
from torch import Tensor
from torch.autograd.function import once_differentiable

from hyena_ds.ops.short_convolution.kernels import finish_backward, finish_forward, gate_backward, gate_forward
from hyena_ds.ops.short_convolution.room import GradientRoom

# Positions of a step, and how many of them are computed at once.
SPAN, ROWS = 16, 8
# A thread has one channel.
WARP, MOST_CHANNELS = 32, 128
# Programs of a pass, which fill a GPU several times over, and the steps that make it worth to begin one.
PROGRAMS, LEAST_SHARE = 8192, 4


def fused_gate(
    projected: Tensor, weight: Tensor, bias: Tensor, context: int, room: GradientRoom | None = None
) -> Tensor:
    """As `short_convolution_gate`."""
    signal: Tensor = _Gate.apply(_with_contiguous_channels(projected), weight, bias, context, room)
    return signal


def fused_finish(
    projected: Tensor, weight: Tensor, bias: Tensor, value: Tensor, context: int, room: GradientRoom | None = None
) -> Tensor:
    """As `short_convolution_finish`."""
    output: Tensor = _Finish.apply(_with_contiguous_channels(projected), weight, bias, value, context, room)
    return output


def _with_contiguous_channels(value: Tensor) -> Tensor:
    return value if value.stride(2) == 1 else value.contiguous()


def _room_for_gradient(projected: Tensor, room: GradientRoom | None) -> Tensor:
    if room is None:
        return torch.empty(projected.shape, dtype=projected.dtype, device=projected.device)
    return room.of(projected)


class _Gate(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, projected: Tensor, weight: Tensor, bias: Tensor, context: int, room: GradientRoom | None
    ) -> Tensor:
        batch, rows, width = projected.shape
        channels, length = width // 2, rows - context
        weight, bias = weight.contiguous(), bias.contiguous()
        signal = projected.new_empty(batch, channels, length)
        walk = _Walk(batch, channels, length)
        gate_forward[walk.grid](
            projected, weight, bias, signal, projected.stride(0), channels, length, context, walk.share,
            WIDTH=weight.shape[2], STRIDE=projected.stride(1), **walk.block,
        )  # fmt: skip
        ctx.save_for_backward(projected, weight, bias)
        ctx.context, ctx.room = context, room
        return signal

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        projected, weight, bias = ctx.saved_tensors
        (received,) = gradients
        batch, rows, width = projected.shape
        channels, taps = width // 2, weight.shape[2]
        walk = _backward_walk(batch, channels, rows, ctx.context, taps)
        gradient = _room_for_gradient(projected, ctx.room)
        partial = walk.partial(weight, 2)
        gate_backward[walk.grid](
            received, projected, weight, bias, gradient, partial, *received.stride(), projected.stride(0),
            gradient.stride(0), channels, rows - ctx.context, ctx.context, walk.share,
            WIDTH=taps, STRIDE=projected.stride(1), GRADIENT_STRIDE=gradient.stride(1), **walk.block,
        )  # fmt: skip
        return gradient, *_parameter_gradients(partial, weight, bias), None, None


class _Finish(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, projected: Tensor, weight: Tensor, bias: Tensor, value: Tensor, context: int,
        room: GradientRoom | None,
    ) -> Tensor:  # fmt: skip
        batch, rows, channels = projected.shape
        length = rows - context
        weight, bias = weight.contiguous(), bias.contiguous()
        output = projected.new_empty(batch, length, channels)
        walk = _Walk(batch, channels, length)
        finish_forward[walk.grid](
            projected, weight, bias, value, output, projected.stride(0), *value.stride(),
            channels, length, context, walk.share,
            WIDTH=weight.shape[2], STRIDE=projected.stride(1), OUTPUT_STRIDE=channels, **walk.block,
        )  # fmt: skip
        ctx.save_for_backward(projected, weight, bias, value)
        ctx.context, ctx.room = context, room
        return output

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        projected, weight, bias, value = ctx.saved_tensors
        received = _with_contiguous_channels(gradients[0])
        batch, rows, channels = projected.shape
        taps = weight.shape[2]
        walk = _backward_walk(batch, channels, rows, ctx.context, taps)
        gradient = _room_for_gradient(projected, ctx.room)
        value_gradient = torch.empty(value.shape, dtype=value.dtype, device=value.device)
        partial = walk.partial(weight, 1)
        finish_backward[walk.grid](
            received, projected, weight, bias, value, gradient, value_gradient, partial, received.stride(0),
            projected.stride(0), *value.stride(), gradient.stride(0), channels, rows - ctx.context, ctx.context,
            walk.share,
            WIDTH=taps, RECEIVED_STRIDE=received.stride(1), STRIDE=projected.stride(1),
            GRADIENT_STRIDE=gradient.stride(1), **walk.block,
        )  # fmt: skip
        return gradient, *_parameter_gradients(partial, weight, bias), value_gradient, None, None


class _Walk:
    """How programs share `positions` and channels: `share` steps each; `block` are a kernel's constants."""

    def __init__(self, batch: int, channels: int, positions: int) -> None:
        width = max(WARP, min(MOST_CHANNELS, triton.next_power_of_2(channels)))
        self.block = {"SPAN": SPAN, "ROWS": ROWS, "CHANNELS": width, "num_warps": width // WARP}
        steps, blocks = triton.cdiv(positions, SPAN), triton.cdiv(channels, width)
        programs = max(1, min(steps // LEAST_SHARE, PROGRAMS // (blocks * batch)))
        self.share = triton.cdiv(steps, programs)
        self.grid = (triton.cdiv(steps, self.share), blocks, batch)

    def partial(self, weight: Tensor, parts: int) -> Tensor:
        """Where programs leave the parameters' gradients: [programs, parts, taps and bias, channels] fp32."""
        channels, _, width = weight.shape
        shape = (self.grid[0] * self.grid[2], parts, width + 1, channels // parts)
        return torch.empty(shape, dtype=torch.float32, device=weight.device)


def _backward_walk(batch: int, channels: int, rows: int, context: int, taps: int) -> _Walk:
    """From the context on, which ends with a step, to where the last gradient is whole."""
    return _Walk(batch, channels, triton.cdiv(context, SPAN) * SPAN + rows - context + taps - 1)


def _parameter_gradients(partial: Tensor, weight: Tensor, bias: Tensor) -> tuple[Tensor, Tensor]:
    total = partial.sum(0)  # [parts, taps and bias, channels / parts]
    taps = total[:, :-1].transpose(1, 2).reshape(weight.shape)
    return taps.to(weight.dtype), total[:, -1].flatten().to(bias.dtype)
