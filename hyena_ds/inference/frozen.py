"""A model that is only evaluated: on one device, in one precision, without gradients."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal, get_args

import torch
from torch import Tensor

from hyena_ds.errors import InputError
from hyena_ds.model.config import ModelConfig
from hyena_ds.model.language_model import HyenaLanguageModel

Precision = Literal["fp32", "bf16"]
# A CPU is fastest where a batch stays in its caches.
TOKENS_PER_BATCH = {"cpu": 2**13, "cuda": 2**19}


@dataclass(frozen=True)
class FrozenModel:
    """`model`, in evaluation mode, on `device`.

    `precision` bf16 is autocast, as in training: residual stream, filter and logits stay fp32. A batch has at most
    `tokens_per_batch` tokens, padding included, unless one sequence alone has more.
    """

    model: HyenaLanguageModel
    device: torch.device
    precision: Precision = "fp32"
    tokens_per_batch: int = TOKENS_PER_BATCH["cpu"]

    @classmethod
    def on(
        cls,
        model: HyenaLanguageModel,
        device: str | None = None,
        precision: Precision = "fp32",
        tokens_per_batch: int | None = None,
    ) -> "FrozenModel":
        """`model` on `device`, by default a GPU where there is one, with the device's default batch."""
        chosen = _device(device)
        if precision not in get_args(Precision):
            raise InputError(f"precision={precision!r} is none of {', '.join(get_args(Precision))}")
        if tokens_per_batch is not None and tokens_per_batch < 1:
            raise InputError(f"tokens_per_batch={tokens_per_batch} must be at least 1")
        budget = tokens_per_batch or TOKENS_PER_BATCH.get(chosen.type, TOKENS_PER_BATCH["cpu"])
        return cls(model.to(chosen).eval().requires_grad_(False), chosen, precision, budget)

    @property
    def config(self) -> ModelConfig:
        return self.model.config

    def hidden(self, tokens: Tensor, real: Tensor | None = None) -> Tensor:
        """Hidden states [B, L, D] after the final norm, of token ids [B, L]; `real` [B, L] is False at
        the padding of one side."""
        with self.evaluation():
            hidden: Tensor = self.model.backbone(self.moved(tokens).long(), self._mask(real))
        return hidden.float()

    def logits(self, tokens: Tensor, real: Tensor | None = None) -> Tensor:
        """Logits [B, L, 16] of the token after each position, fp32."""
        with self.evaluation():
            logits: Tensor = self.model(self.moved(tokens).long(), self._mask(real))
        return logits.float()

    def nats(self, tokens: Tensor, real: Tensor | None = None) -> Tensor:
        """How surprising each token but the first is, given those before it: -log p in nats, fp32 [B, L - 1]."""
        tokens = self.moved(tokens).long()
        mask = self._mask(real)
        with self.evaluation():
            nats: Tensor = self.model(tokens[:, :-1], None if mask is None else mask[:, :-1], targets=tokens[:, 1:])
        return nats

    def _mask(self, real: Tensor | None) -> Tensor | None:
        """The mask where padding would reach a real position; in a causal model none is behind padding on the right."""
        if real is None or (not self.config.bidirectional and bool(real[:, 0].all())):
            return None
        return self.moved(real)

    def moved(self, value: Tensor) -> Tensor:
        """`value` on the model's device; on a GPU without waiting for what it still computes."""
        if self.device.type != "cuda" or value.is_cuda:
            return value.to(self.device)
        return value.pin_memory().to(self.device, non_blocking=True)

    @contextmanager
    def evaluation(self) -> Iterator[None]:
        """Where the model runs: no gradients, and autocast where the precision asks for it."""
        bf16 = self.precision == "bf16"
        with torch.inference_mode(), torch.autocast(self.device.type, torch.bfloat16, enabled=bf16):
            yield


def _device(name: str | None) -> torch.device:
    """The device of that name, by default a GPU where there is one."""
    try:
        device = torch.device(name or ("cuda" if torch.cuda.is_available() else "cpu"))
    except RuntimeError:
        raise InputError(f"device {name!r} is none that torch knows; give cpu, cuda or cuda:1") from None
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise InputError(
            f"device {name} is not here: torch sees {torch.cuda.device_count()} CUDA GPUs; leave it out to take what is"
        )
    return device
