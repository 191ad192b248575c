"""One optimizer step on DeepSpeed, exact at any world size, accumulation and ZeRO stage."""

import math
import resource
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import deepspeed
import torch
from deepspeed.utils import safe_get_full_grad, set_z3_leaf_modules
from torch import Tensor, nn

from hyena_ds.engine.config import EngineConfig, OptimizerConfig
from hyena_ds.engine.deepspeed_config import deepspeed_dictionary
from hyena_ds.engine.distributed import sum_over_ranks
from hyena_ds.engine.gradient_sum import summing_factor
from hyena_ds.engine.optimizer import build_optimizer, learning_rate_factor

MicroBatch = TypeVar("MicroBatch")

# Dense bf16 operations a second by the vendor's data sheets.
PEAK_FLOPS = {"H200": 989e12, "H100": 989e12, "A100": 312e12, "L40S": 362e12, "V100": 125e12}


@dataclass(frozen=True)
class StepResult:
    """A completed step, the same numbers on every rank; `grad_norm` is the one before clipping.

    A `skipped` step met a gradient that is not finite and changed nothing.
    """

    loss: float
    grad_norm: float
    learning_rate: float
    skipped: bool


class TrainingEngine:
    """A model under DeepSpeed ZeRO with AdamW.

    Args:
        model: its parameters and buffers are moved to `device`; load weights before.
        total_steps: of the whole run, for the learning rate.
        is_filter_parameter: tells the parameters of the optimizer group without weight decay.
        whole_modules: types whose parameters ZeRO 3 gathers and releases together.
        micro_batch_begins: is told the number of each micro-batch before it begins, and how many the step has.
    """

    def __init__(
        self,
        model: nn.Module,
        *,
        engine: EngineConfig,
        optimizer: OptimizerConfig,
        total_steps: int,
        is_filter_parameter: Callable[[str], bool],
        device: torch.device,
        whole_modules: Sequence[type[nn.Module]] = (),
        micro_batch_begins: Callable[[int, int], None] = lambda number, count: None,
    ) -> None:
        self.device, self.zero_stage = device, engine.zero_stage
        self.bf16 = engine.computes_in_bf16(device.type)
        self._optimizer_config, self._total_steps = optimizer, total_steps
        self._micro_batch_begins = micro_batch_begins
        self.parameters = dict(model.named_parameters())
        count = sum(parameter.numel() for parameter in model.parameters())
        dictionary = deepspeed_dictionary(engine, optimizer, bf16=self.bf16, parameters=count)
        self._summing_factor = summing_factor(dictionary, device)
        model.to(device)
        if self.zero_stage == 3 and whole_modules:
            set_z3_leaf_modules(model, list(whole_modules))
        client = build_optimizer(model, optimizer, is_filter_parameter, fused=device.type == "cuda")
        self.module: Any
        self.module, self.optimizer, _, _ = deepspeed.initialize(
            model=model, optimizer=client, config=dictionary, dist_init_required=False
        )

    def train_step(
        self,
        micro_batches: Sequence[MicroBatch],
        loss_function: Callable[[nn.Module, MicroBatch], Tensor],
        *,
        valid_targets: int,
        step: int,
        between_micro_batches: Callable[[], None] = lambda: None,
    ) -> StepResult:
        """Step `step` (from 0) on this rank's micro-batches, as many on every rank.

        `loss_function` returns the sum of the losses of a micro-batch's targets; `valid_targets` counts those of all
        micro-batches of all ranks, so that the loss is their mean however the step is split.
        Where `between_micro_batches` raises, on every rank alike, parameters and moments are those of the step
        before; no further step can be taken.
        """
        local_loss = self.accumulate(
            micro_batches, loss_function, valid_targets=valid_targets, between_micro_batches=between_micro_batches
        )
        return self.apply(local_loss, valid_targets=valid_targets, step=step)

    def accumulate(
        self,
        micro_batches: Sequence[MicroBatch],
        loss_function: Callable[[nn.Module, MicroBatch], Tensor],
        *,
        valid_targets: int,
        between_micro_batches: Callable[[], None] = lambda: None,
    ) -> Tensor:
        """Forward and backward of all micro-batches: leaves the reduced gradients, returns this rank's summed loss."""
        self.module.train()
        # DeepSpeed averages gradients over ranks; the loss is a sum over them.
        scale = self._summing_factor / max(valid_targets, 1)
        local_loss = torch.zeros((), dtype=torch.float64, device=self.device)
        for number, micro_batch in enumerate(micro_batches):
            if number > 0:
                between_micro_batches()
            self.module.set_gradient_accumulation_boundary(number == len(micro_batches) - 1)
            self._micro_batch_begins(number, len(micro_batches))
            total = loss_function(self.module, micro_batch)
            self.module.backward(total * scale, scale_wrt_gas=False)
            local_loss += total.detach()
        return local_loss

    def apply(self, local_loss: Tensor, *, valid_targets: int, step: int) -> StepResult:
        """Clip the accumulated gradients and update the parameters."""
        loss = float(sum_over_ranks(local_loss)) / max(valid_targets, 1)
        rate = self._set_learning_rate(step)
        norm = self._update()
        return StepResult(loss, norm, rate, skipped=not math.isfinite(norm))

    def _set_learning_rate(self, step: int) -> float:
        factor = learning_rate_factor(step, self._total_steps, self._optimizer_config)
        for group in self.optimizer.param_groups:
            group["lr"] = group["peak"] * factor
        return self._optimizer_config.learning_rate * factor

    def _update(self) -> float:
        """Clip and apply the gradients where they are finite; returns their norm, or infinity."""
        if self.zero_stage == 0:
            gradients = [parameter.grad for parameter in self.parameters.values() if parameter.grad is not None]
            total = torch.nn.utils.get_total_norm(gradients)
            norm = float(total)
            if not math.isfinite(norm):
                self.module.zero_grad()
                self.optimizer.zero_grad()
                return math.inf
            if (limit := self._optimizer_config.gradient_clipping) > 0:
                torch.nn.utils.clip_grads_with_norm_(self.parameters.values(), limit, total)
            self.module.step()
            return norm
        self.module.step()
        norm = float(self.module.get_global_grad_norm())
        return norm if math.isfinite(norm) and norm >= 0 else math.inf

    def full_gradients(self) -> dict[str, Tensor]:
        """The gradients that `accumulate` left, whole, on every rank."""
        return {name: safe_get_full_grad(parameter).clone() for name, parameter in self.parameters.items()}

    @torch.no_grad()
    def evaluate(self, *inputs: Tensor, **named: Tensor) -> Tensor:
        """The model's output without dropout or gradients; every rank must call it equally often at ZeRO 3."""
        self.module.eval()
        output: Tensor = self.module(*inputs, **named)
        return output

    @property
    def peak_flops(self) -> float | None:
        """Dense bf16 operations a second of this device, where it is a known GPU."""
        if self.device.type != "cuda":
            return None
        name = torch.cuda.get_device_name(self.device)
        return next((peak for key, peak in PEAK_FLOPS.items() if key in name), None)

    def peak_memory_bytes(self) -> int:
        """The most memory used so far: allocated on the GPU, resident on a CPU."""
        if self.device.type == "cuda":
            return int(torch.cuda.max_memory_allocated(self.device))
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024

    def reset_peak_memory(self) -> None:
        """Forget the peak, where the device allows it."""
        if self.device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(self.device)

    def synchronize(self) -> None:
        """Wait until the device has done all that was asked of it."""
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)

    def close(self) -> None:
        """Release DeepSpeed's hooks and buffers; the engine is of no use afterwards."""
        self.module.destroy()
        del self.module, self.optimizer, self.parameters
