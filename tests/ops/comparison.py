"""How far a kernel's result and gradients are from those of plain torch."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

# Triton's interpreter cuts off what bf16 cannot hold where a GPU rounds.
TOLERANCE = {torch.float32: 2e-6, torch.bfloat16: 8e-3}


def outputs_and_gradients(
    function: Callable[..., Tensor | tuple[Tensor, ...]], inputs: Sequence[Tensor], device: torch.device
) -> list[Tensor]:
    """In fp64 on the CPU: the outputs, then the gradients of all inputs of a weighted sum of the outputs."""
    leaves = [value.detach().to(device).requires_grad_(value.is_floating_point()) for value in inputs]
    found = function(*leaves)
    outputs = [found] if isinstance(found, Tensor) else list(found)
    generator = torch.Generator().manual_seed(1)
    weights = [torch.randn(output.shape, generator=generator).bfloat16().to(output) for output in outputs]
    wanted = [leaf for leaf in leaves if leaf.requires_grad]
    gradients = torch.autograd.grad(outputs, wanted, weights, materialize_grads=True)
    assert [gradient.dtype for gradient in gradients] == [leaf.dtype for leaf in wanted]
    return [value.detach().cpu().double() for value in (*outputs, *gradients)]


def assert_close(found: Sequence[Tensor], expected: Sequence[Tensor], tolerance: float) -> None:
    """Each tensor, relative in norm."""
    assert len(found) == len(expected)
    for number, (value, exact) in enumerate(zip(found, expected, strict=True)):
        assert value.shape == exact.shape
        error = float((value - exact).norm() / exact.norm().clamp(min=1e-30))
        assert error <= tolerance, f"tensor {number}: {error:.2e} > {tolerance:.0e}"


def random(*shape: int, seed: int, dtype: torch.dtype = torch.float32) -> Tensor:
    """Normal numbers."""
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed)).to(dtype)
