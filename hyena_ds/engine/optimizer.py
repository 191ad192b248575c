"""Parameter groups by rule, and the learning rate as a pure function of the step."""

import math
from collections.abc import Callable

import torch
from torch import nn

from hyena_ds.engine.config import OptimizerConfig


def build_optimizer(
    module: nn.Module, config: OptimizerConfig, is_filter_parameter: Callable[[str], bool], *, fused: bool
) -> torch.optim.AdamW:
    """AdamW over two groups: the model, and the implicit filters' MLPs without weight decay.

    A group's `peak` is its learning rate at the top of the schedule.
    """
    groups: dict[bool, list[nn.Parameter]] = {False: [], True: []}
    for name, parameter in module.named_parameters():
        if parameter.requires_grad:
            groups[is_filter_parameter(name)].append(parameter)
    filter_rate = config.filter_learning_rate or config.learning_rate
    settings = [
        {"params": groups[False], "peak": config.learning_rate, "weight_decay": config.weight_decay},
        {"params": groups[True], "peak": filter_rate, "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(
        [group for group in settings if group["params"]],
        lr=config.learning_rate,
        betas=config.betas,
        eps=config.epsilon,
        fused=fused,
    )


def learning_rate_factor(step: int, total_steps: int, config: OptimizerConfig) -> float:
    """What the peak rate is multiplied by in step `step` (from 0): linear warm-up, then a cosine to the minimum."""
    warmup_steps = round(config.warmup_fraction * total_steps)
    if step < warmup_steps:
        return (step + 1) / warmup_steps
    progress = (step - warmup_steps) / max(total_steps - warmup_steps, 1)
    cosine = 0.5 * (1 + math.cos(math.pi * min(progress, 1.0)))
    minimum = config.minimum_learning_rate_fraction
    return minimum + (1 - minimum) * cosine
