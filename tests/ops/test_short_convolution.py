"""The short convolution's kernels against plain torch in float64: values and all gradients."""

import pytest
import torch
from torch import Tensor

from hyena_ds.ops.short_convolution.reference import short_convolution
from hyena_ds.ops.short_convolution.room import GradientRoom
from tests.ops.comparison import TOLERANCE, assert_close, outputs_and_gradients, random

fused = pytest.importorskip("hyena_ds.ops.short_convolution.fused")


def plain_gate(projected: Tensor, weight: Tensor, bias: Tensor, context: int) -> Tensor:
    gate, value = short_convolution(projected, weight, bias, context).chunk(2, dim=1)
    return gate * value


def plain_finish(projected: Tensor, weight: Tensor, bias: Tensor, value: Tensor, context: int) -> Tensor:
    return (short_convolution(projected, weight, bias, context) * value).transpose(1, 2)


def check_gate(
    device: torch.device, batch: int, channels: int, length: int, context: int, width: int, dtype: torch.dtype
) -> None:
    """The projections as the last two thirds of wider rows, as one matrix product gives them."""
    inputs = [
        random(batch, context + length, 3 * channels, seed=0, dtype=dtype),
        random(2 * channels, 1, width, seed=1),
        random(2 * channels, seed=2),
    ]

    def of(function):  # type: ignore[no-untyped-def]
        return lambda wide, weight, bias: function(wide[..., channels:], weight, bias, context)

    found = outputs_and_gradients(of(fused.fused_gate), inputs, device)
    exact = outputs_and_gradients(of(plain_gate), [value.double() for value in inputs], torch.device("cpu"))
    assert_close(found, exact, TOLERANCE[dtype])


def check_finish(
    device: torch.device, batch: int, channels: int, length: int, context: int, width: int, dtype: torch.dtype
) -> None:
    inputs = [
        random(batch, context + length, 3 * channels, seed=0, dtype=dtype),
        random(channels, 1, width, seed=1),
        random(channels, seed=2),
        random(batch, channels, length, seed=3, dtype=dtype),
    ]

    def of(function):  # type: ignore[no-untyped-def]
        return lambda wide, weight, bias, value: function(wide[..., :channels], weight, bias, value, context)

    found = outputs_and_gradients(of(fused.fused_finish), inputs, device)
    exact = outputs_and_gradients(of(plain_finish), [value.double() for value in inputs], torch.device("cpu"))
    assert_close(found, exact, TOLERANCE[dtype])


@pytest.mark.parametrize("check", [check_gate, check_finish])
@pytest.mark.parametrize(
    ("batch", "channels", "length", "context", "width"),
    [
        (2, 16, 64, 0, 3),
        (1, 16, 65, 2, 3),
        (2, 16, 131, 1, 3),
        (1, 24, 1, 0, 3),
        (1, 80, 67, 2, 3),
        (2, 5, 40, 1, 3),
        (2, 8, 30, 0, 1),
        (1, 8, 100, 4, 5),
        (1, 4, 5, 7, 8),
    ],
)
def test_small_shapes(check, batch, channels, length, context, width, kernel_device) -> None:  # type: ignore[no-untyped-def]
    check(kernel_device, batch, channels, length, context, width, torch.float32)


@pytest.mark.parametrize("check", [check_gate, check_finish])
@pytest.mark.parametrize("context", [0, 2])
def test_bf16(check, context, kernel_device) -> None:  # type: ignore[no-untyped-def]
    check(kernel_device, 2, 16, 90, context, 3, torch.bfloat16)


@pytest.mark.parametrize("check", [check_gate, check_finish])
def test_programs_that_take_several_tiles(check, kernel_device, monkeypatch) -> None:  # type: ignore[no-untyped-def]
    monkeypatch.setattr(fused, "PROGRAMS", 4)
    check(kernel_device, 2, 16, 500, 2, 3, torch.float32)


def test_values_that_come_with_their_channels_contiguous(kernel_device: torch.device) -> None:
    projected, weight, bias = random(2, 70, 16, seed=0), random(16, 1, 3, seed=1), random(16, seed=2)
    value = random(2, 68, 16, seed=3)

    def finish(*given: Tensor) -> Tensor:
        return fused.fused_finish(given[0], given[1], given[2], given[3].transpose(1, 2), 2)

    def expected(*given: Tensor) -> Tensor:
        return plain_finish(given[0], given[1], given[2], given[3].transpose(1, 2), 2)

    inputs = [projected, weight, bias, value]
    found = outputs_and_gradients(finish, inputs, kernel_device)
    assert_close(found, outputs_and_gradients(expected, inputs, torch.device("cpu")), 1e-6)


@pytest.mark.parametrize("device", ["kernel", "cpu"])
def test_gradients_of_parts_that_share_a_room(device: str, kernel_device: torch.device) -> None:
    on_kernels = device == "kernel"
    gate, finish = (fused.fused_gate, fused.fused_finish) if on_kernels else (plain_gate, plain_finish)
    inputs = [random(2, 33, 48, seed=0), random(48, 1, 3, seed=1), random(48, seed=2), random(2, 16, 33, seed=3)]
    rooms: list[GradientRoom] = []

    def of_parts(whole: Tensor, weight: Tensor, bias: Tensor, value: Tensor) -> tuple[Tensor, ...]:
        room = GradientRoom()
        rooms.append(room)
        first, rest = room.split(whole, [16, 32])
        shared = (room,) if on_kernels else ()
        signal = gate(rest, weight[16:], bias[16:], 0, *shared)
        return signal, finish(first, weight[:16], bias[:16], value, 0, *shared)

    def of_slices(whole: Tensor, weight: Tensor, bias: Tensor, value: Tensor) -> tuple[Tensor, ...]:
        signal = plain_gate(whole[..., 16:], weight[16:], bias[16:], 0)
        return signal, plain_finish(whole[..., :16], weight[:16], bias[:16], value, 0)

    found = outputs_and_gradients(of_parts, inputs, kernel_device if on_kernels else torch.device("cpu"))
    assert rooms[0].taken() is None
    assert_close(found, outputs_and_gradients(of_slices, inputs, torch.device("cpu")), 1e-6)


def test_what_is_left_elsewhere_is_copied_into_the_room() -> None:
    whole = random(2, 5, 6, seed=0).requires_grad_()
    room = GradientRoom()
    first, last = room.split(whole, [2, 4])
    room.of(first.detach()).fill_(torch.nan)
    (gradient,) = torch.autograd.grad((first * 2).sum() + (last * 3).sum(), whole)
    assert torch.equal(gradient, torch.tensor([2.0, 2.0, 3.0, 3.0, 3.0, 3.0]).expand(2, 5, 6))


def test_gradients_are_the_same_in_every_run(kernel_device: torch.device) -> None:
    inputs = [random(2, 300, 32, seed=0), random(32, 1, 3, seed=1), random(32, seed=2)]
    runs = [outputs_and_gradients(lambda *given: fused.fused_gate(*given, 0), inputs, kernel_device) for _ in range(2)]
    assert all(torch.equal(first, second) for first, second in zip(*runs, strict=True))


@pytest.mark.gpu
@pytest.mark.parametrize("check", [check_gate, check_finish])
@pytest.mark.parametrize(
    ("batch", "length", "context"), [(64, 1024, 0), (1, 2**16, 2), (1, 100_000, 2), (3, 12_345, 1)]
)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_realistic_shapes(check, batch, length, context, dtype, kernel_device) -> None:  # type: ignore[no-untyped-def]
    check(kernel_device, batch, 256, length, context, 3, dtype)
