"""A model that is only evaluated: on one device, in one precision, without gradients."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
import torch
from torch import Tensor

from hyena_ds.errors import InputError
from hyena_ds.genome.alphabet import PAD
from hyena_ds.inference.batches import PaddingSide
from hyena_ds.model.config import ModelConfig
from hyena_ds.model.language_model import HyenaLanguageModel

Precision = Literal["fp32", "bf16"]
CPU_TOKENS_PER_BATCH = 2**13  # a CPU is fastest where a batch stays in its caches
GPU_TOKENS_PER_BATCH = 2**20  # a GPU, where it computes a batch for longer than the host needs to launch one
BYTES_PER_TOKEN_AND_CHANNEL = 53  # at a batch's peak, by benchmarks/embedding.py: 12.7 GiB at a million, 256 wide


@dataclass(frozen=True)
class FrozenModel:
    """`model`, in evaluation mode, on `device`.

    `precision` bf16 is autocast, as in training: residual stream, filter and logits stay fp32. A batch has at most
    `tokens_per_batch` tokens, padding included, unless one sequence alone has more.
    """

    model: HyenaLanguageModel
    device: torch.device
    precision: Precision = "fp32"
    tokens_per_batch: int = CPU_TOKENS_PER_BATCH

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
        budget = tokens_per_batch or _usual_tokens(chosen, model.config.d_model)
        return cls(model.to(chosen).eval().requires_grad_(False), chosen, precision, budget)

    @property
    def config(self) -> ModelConfig:
        return self.model.config

    def hidden(self, tokens: Tensor, padding: PaddingSide | None = None) -> Tensor:
        """Hidden states [B, L, D] after the final norm, of token ids [B, L]; PAD, on the side of `padding`, is not
        seen."""
        tokens = self.moved(tokens).long()
        with self.evaluation():
            hidden: Tensor = self.model.backbone(tokens, self._mask(tokens, padding))
        return hidden.float()

    def logits(self, tokens: Tensor, padding: PaddingSide | None = None) -> Tensor:
        """Logits [B, L, 16] of the token after each position, fp32."""
        tokens = self.moved(tokens).long()
        with self.evaluation():
            logits: Tensor = self.model(tokens, self._mask(tokens, padding))
        return logits.float()

    def nats(self, tokens: Tensor, padding: PaddingSide | None = None) -> Tensor:
        """How surprising each token but the first is, given those before it: -log p in nats, fp32 [B, L - 1]."""
        tokens = self.moved(tokens).long()
        if tokens.shape[1] == 1:
            return torch.empty(len(tokens), 0, device=self.device)
        with self.evaluation():
            nats: Tensor = self.model(tokens[:, :-1], self._mask(tokens[:, :-1], padding), targets=tokens[:, 1:])
        return nats

    def _mask(self, tokens: Tensor, padding: PaddingSide | None) -> Tensor | None:
        """The mask where padding would reach a real position; in a causal model none is behind padding on the right."""
        if padding is None or (padding == "right" and not self.config.bidirectional):
            return None
        return tokens != PAD

    def moved(self, value: Tensor) -> Tensor:
        """`value` on the model's device; on a GPU without waiting for what it still computes."""
        if self.device.type != "cuda" or value.is_cuda:
            return value.to(self.device)
        return value.pin_memory().to(self.device, non_blocking=True)

    def fetched(self, value: Tensor) -> Callable[[], np.ndarray]:
        """Start to bring `value` to the host; what is returned waits for it, but for nothing that is started later."""
        if not value.is_cuda:
            return value.numpy
        arrived = value.to("cpu", non_blocking=True)  # in pinned memory
        done = torch.cuda.Event()
        done.record(torch.cuda.current_stream(value.device))

        def wait() -> np.ndarray:
            done.synchronize()
            return arrived.numpy()

        return wait

    @contextmanager
    def evaluation(self) -> Iterator[None]:
        """Where the model runs: no gradients, and autocast where the precision asks for it."""
        bf16 = self.precision == "bf16"
        with torch.inference_mode(), torch.autocast(self.device.type, torch.bfloat16, enabled=bf16):
            yield


def tokens_that_fit(memory: int, d_model: int) -> int:
    """The power of two of tokens whose batch fills at most a quarter of a GPU's `memory` in bytes; at most 2^20."""
    fitting = memory // (4 * BYTES_PER_TOKEN_AND_CHANNEL * d_model)
    return int(min(1 << max(fitting.bit_length() - 1, 0), GPU_TOKENS_PER_BATCH))


def _usual_tokens(device: torch.device, d_model: int) -> int:
    """The device's default batch."""
    if device.type != "cuda":
        return CPU_TOKENS_PER_BATCH
    return tokens_that_fit(torch.cuda.get_device_properties(device).total_memory, d_model)


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
