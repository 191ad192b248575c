"""Training steps of the plain models, and the checks that they compute what they are named after."""

import time

import torch
from torch import Tensor, nn
from torch.nn import functional

from benchmarks.convolution import distance
from benchmarks.plain_models import PlainModel
from hyena_ds.data.batch import inputs_and_targets
from hyena_ds.engine.config import OptimizerConfig
from hyena_ds.engine.engine import TrainingEngine
from hyena_ds.genome.alphabet import A, T
from hyena_ds.model.language_model import HyenaLanguageModel
from hyena_ds.model.parameters import is_filter_parameter
from hyena_ds.model.sequence import WholeSequence
from hyena_ds.training.loss import token_loss_sum
from hyena_ds.training.preflight import StepMeasurement

# Of bf16 beside bf16, where every product is rounded to 8 bits; fp32 stays below a hundredth of it.
LOSS_TOLERANCE, GRADIENT_TOLERANCE = 1e-3, 5e-2


def random_bases(batch: int, length: int) -> Tensor:
    """uint8 tokens [B, L + 1]."""
    generator = torch.Generator().manual_seed(length)
    return torch.randint(A, T + 1, (batch, length + 1), generator=generator, dtype=torch.uint8)


class PlainTrainer:
    """AdamW on a plain model in fp32 or under bf16 autocast, with the settings of a run."""

    def __init__(self, model: PlainModel, config: OptimizerConfig, device: torch.device, *, bf16: bool) -> None:
        self.model, self.device, self.bf16 = model.to(device), device, bf16
        self._clipping = config.gradient_clipping
        self._optimizer = torch.optim.AdamW(
            model.parameters(),
            lr=config.learning_rate,
            betas=config.betas,
            weight_decay=config.weight_decay,
            fused=device.type == "cuda",
        )

    def logits(self, tokens: Tensor) -> Tensor:
        """[B, L, 16] of token ids [B, L]."""
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.bf16):
            logits: Tensor = self.model(tokens)
        return logits

    def loss(self, tokens: Tensor) -> Tensor:
        """The mean nats of the targets of windows [B, L + 1]."""
        inputs, targets = inputs_and_targets(tokens.to(self.device).long())
        return functional.cross_entropy(self.logits(inputs).float().flatten(0, 1), targets.flatten())

    def step(self, tokens: Tensor, micro_batches: int) -> StepMeasurement:
        """One optimizer step on as many micro-batches [B, L + 1]."""
        on_gpu = self.device.type == "cuda"
        if on_gpu:
            torch.cuda.reset_peak_memory_stats()
            torch.cuda.synchronize()
        started = time.perf_counter()
        for _ in range(micro_batches):
            (self.loss(tokens) / micro_batches).backward()
        nn.utils.clip_grad_norm_(self.model.parameters(), self._clipping)
        self._optimizer.step()
        self._optimizer.zero_grad()
        if on_gpu:
            torch.cuda.synchronize()
        seconds = time.perf_counter() - started
        return StepMeasurement(seconds, torch.cuda.max_memory_allocated() if on_gpu else 0)


def check_equal(
    engine: TrainingEngine, ours: HyenaLanguageModel, plain: PlainTrainer, tokens: Tensor
) -> dict[str, float]:
    """Relative errors of the plain model's loss and gradients beside ours, on windows [B, L + 1] without dropout.

    Both hold the same weights, and ours has taken a step afterwards. Raises ValueError where an error is high.
    """
    first = ours.backbone.layers[0].dropout1
    probability, first.probability = first.probability, 0.0

    def loss_sum(module: nn.Module, windows: Tensor) -> Tensor:
        return token_loss_sum(module, windows.to(engine.device), WholeSequence(), ignore_n=True)

    targets = tokens[:, 1:].numel()
    loss = engine.accumulate([tokens], loss_sum, valid_targets=targets)
    expected = {name: gradient.cpu() for name, gradient in engine.full_gradients().items()}
    engine.apply(loss, valid_targets=targets, step=0)
    first.probability = probability

    plain.model.eval()
    mean_nats = plain.loss(tokens)
    mean_nats.backward()
    found = {name: parameter.grad.cpu() for name, parameter in plain.model.named_parameters()}
    plain.model.train().zero_grad()
    filters = [name for name in expected if is_filter_parameter(name)]
    errors = {
        "loss": abs(mean_nats.item() - loss.item() / targets) / mean_nats.item(),
        "gradient": _joint_distance(found, expected, list(expected)),
        "filter gradient": _joint_distance(found, expected, filters),
    }
    if not (errors["loss"] <= LOSS_TOLERANCE and max(errors.values()) <= GRADIENT_TOLERANCE):
        raise ValueError(f"the plain model is another one: {errors} at length {tokens.shape[1] - 1:,}")
    return errors


def _joint_distance(found: dict[str, Tensor], expected: dict[str, Tensor], names: list[str]) -> float:
    """The relative distance of some tensors taken as one."""
    return distance(*(torch.cat([tensors[name].flatten() for name in names]) for tensors in (found, expected)))


@torch.no_grad()
def check_causal(trainer: PlainTrainer, length: int) -> float:
    """The relative change of the first half's logits when the second half changes; raises ValueError above rounding."""
    tokens = random_bases(1, length)[:, 1:].to(trainer.device).long()
    changed = tokens.clone()
    changed[:, length // 2 :] = A + T - changed[:, length // 2 :]
    trainer.model.eval()
    before, after = (trainer.logits(value).float() for value in (tokens, changed))
    trainer.model.train()
    past, future = before[:, : length // 2], before[:, length // 2 :]
    leak = distance(after[:, : length // 2], past)
    if leak > 1e-5 or distance(after[:, length // 2 :], future) < 1e-2:
        raise ValueError(f"the Transformer is not causal: its past changes by {leak}")
    return leak
