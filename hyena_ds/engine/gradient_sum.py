"""What DeepSpeed makes of the gradients of several ranks, measured instead of believed."""

from typing import Any

import deepspeed
import torch
from deepspeed.utils import safe_get_full_grad
from torch import nn


def summing_factor(dictionary: dict[str, Any], device: torch.device) -> float:
    """What every rank's loss is multiplied by so that the gradient becomes the sum over all ranks.

    A model of one weight trains under the same settings, rank r with gradient r + 1. DeepSpeed 0.19.8 averages over
    all ranks, but has divided by other numbers where it knew of sequence parallelism, by stage (issues 5248, 6868).
    Raises RuntimeError where ranks disagree: then they would train different models.
    """
    world_size, rank = torch.distributed.get_world_size(), torch.distributed.get_rank()
    probe = nn.Linear(1, 1, bias=False, device=device)
    optimizer = torch.optim.AdamW(probe.parameters(), lr=0.0, weight_decay=0.0)
    module, *_ = deepspeed.initialize(model=probe, optimizer=optimizer, config=dictionary, dist_init_required=False)
    weight = next(iter(probe.parameters()))
    module.backward(module(torch.ones(1, 1, device=device)).sum() * (rank + 1))
    measured = safe_get_full_grad(weight).clone().flatten()
    module.destroy()
    everywhere = [torch.empty_like(measured) for _ in range(world_size)]
    torch.distributed.all_gather(everywhere, measured)
    if any(float(other) != float(measured) for other in everywhere):
        found = ", ".join(f"{float(other):g}" for other in everywhere)
        raise RuntimeError(f"DeepSpeed gives the ranks different gradients of one weight: {found}")
    return world_size * (world_size + 1) / 2 / float(measured)
