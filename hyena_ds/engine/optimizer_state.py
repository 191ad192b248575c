"""Parameters, their average and Adam's moments as whole fp32 tensors, out of and into DeepSpeed at any ZeRO stage."""

from collections.abc import Iterator
from typing import Any

import torch
from deepspeed.utils import safe_get_full_fp32_param, safe_get_full_optimizer_state
from torch import Tensor, nn
from torch.optim.swa_utils import get_ema_multi_avg_fn

from hyena_ds.engine.engine import TrainingEngine

MOMENTS = ("exp_avg", "exp_avg_sq")
AVERAGE = "average"  # of the parameters over steps; it lies, and is sharded, where Adam's moments are
STATES = (*MOMENTS, AVERAGE)


def _optimizer_tensors(engine: TrainingEngine) -> list[Tensor]:
    """The tensors that Adam steps on: the parameters at stage 0, this rank's flat fp32 partitions above."""
    match engine.zero_stage:
        case 0:
            return [parameter for group in engine.optimizer.param_groups for parameter in group["params"]]
        case 1 | 2:
            return list(engine.optimizer.single_partition_of_fp32_groups)
        case _:
            return list(engine.optimizer.fp32_partitioned_groups_flat)


def _adam(engine: TrainingEngine) -> torch.optim.AdamW:
    adam: torch.optim.AdamW = engine.optimizer if engine.zero_stage == 0 else engine.optimizer.optimizer
    return adam


def adam_step(engine: TrainingEngine) -> int:
    """Updates that Adam has applied."""
    states = _adam(engine).state
    return max((int(states[tensor]["step"]) for tensor in _optimizer_tensors(engine) if tensor in states), default=0)


def gather_parameters(engine: TrainingEngine) -> dict[str, Tensor]:
    """Every parameter, fp32 on the CPU; all ranks must call it."""
    if engine.zero_stage == 0:
        return {name: parameter.detach().float().cpu() for name, parameter in engine.parameters.items()}
    return {name: safe_get_full_fp32_param(parameter).cpu() for name, parameter in engine.parameters.items()}


def average_decay(decay: float, updates: int) -> float:
    """What the average before update number `updates` (from 1) counts: less at first, so that it is soon forgotten."""
    return min(decay, (1 + updates) / (10 + updates))


def update_average(engine: TrainingEngine, decay: float, updates: int) -> None:
    """Move the average of the parameters towards them, after Adam's update number `updates` (from 1).

    average ← d · average + (1 - d) · parameters, with d = `average_decay`; the first average is the parameters.
    """
    tensors, states = _optimizer_tensors(engine), _adam(engine).state
    if AVERAGE not in states[tensors[0]]:
        for tensor in tensors:
            states[tensor][AVERAGE] = tensor.detach().clone()
        return
    move = get_ema_multi_avg_fn(average_decay(decay, updates))
    move([states[tensor][AVERAGE] for tensor in tensors], tensors, updates)


def _link_states(engine: TrainingEngine) -> None:
    """Let DeepSpeed find what is kept beside the parameters of every group.

    At stages 1 and 2 it links all groups once, after stepping the first alone, and so loses those of the others.
    """
    if engine.zero_stage in (1, 2):
        engine.optimizer._hp_optimizer_states_linked = False
        engine.optimizer._lazy_init_hp_params_optimizer_state()


def gather_state(engine: TrainingEngine, name: str) -> dict[str, Tensor]:
    """One of STATES for every parameter, fp32 on the CPU; all ranks must call it. Empty where it is not kept (yet)."""
    states = _adam(engine).state
    if not any(name in states.get(tensor, ()) for tensor in _optimizer_tensors(engine)):
        return {}
    if engine.zero_stage == 0:
        return {key: states[parameter][name].cpu() for key, parameter in engine.parameters.items()}
    _link_states(engine)
    return {key: safe_get_full_optimizer_state(parameter, name).cpu() for key, parameter in engine.parameters.items()}


def restore_states(engine: TrainingEngine, step: int, states: dict[str, dict[str, Tensor]]) -> None:
    """Set Adam's update count and these of STATES before the engine's first step."""
    adam = _adam(engine)
    fused = adam.defaults["fused"]
    for tensor in _optimizer_tensors(engine):
        device = tensor.device if fused else torch.device("cpu")
        adam.state[tensor] = {
            "step": torch.tensor(float(step), device=device),
            **{name: torch.zeros_like(tensor, requires_grad=False) for name in states},
        }
    _link_states(engine)
    for name, values in states.items():
        for key, parameter in engine.parameters.items():
            for piece, place in _pieces(engine, parameter, name, values[key]):
                place.copy_(piece)


def _pieces(engine: TrainingEngine, parameter: nn.Parameter, name: str, value: Tensor) -> Iterator[tuple[Tensor, Any]]:
    """The part of `value` that this rank owns, and the optimizer's memory for it."""
    if engine.zero_stage == 0:
        yield value, _adam(engine).state[parameter][name]
    elif engine.zero_stage in (1, 2):
        mapping = parameter._hp_mapping  # type: ignore[attr-defined]
        if mapping is not None:
            address = mapping.lp_fragment_address
            yield value.flatten().narrow(0, address.start, address.numel), mapping.get_hp_fragment(name)
    else:
        place, _ = engine.optimizer._get_fp32_opt_state_partition(
            parameter, release_swap_buffers=False, optim_state_key=name
        )
        rank = engine.optimizer._get_param_partition_rank(parameter)
        piece = value.flatten()[rank * place.numel() : (rank + 1) * place.numel()]
        yield piece, place[: piece.numel()]
