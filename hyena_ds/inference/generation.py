"""New bases behind a prompt, drawn one after the other."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from hyena_ds.errors import InputError
from hyena_ds.genome.alphabet import A, T, decode
from hyena_ds.genome.progress import Progress
from hyena_ds.inference.frozen import FrozenModel
from hyena_ds.inference.online_model import OnlineModel
from hyena_ds.inference.sequences import NamedSequence, Sequences, read_sequences


@dataclass(frozen=True)
class Sampling:
    """How a base is drawn of A, C, G, T; no other token is.

    `temperature` 0 takes the likeliest; `top_k` draws of the k likeliest, `top_p` of the likeliest that together have
    at least probability p.
    """

    temperature: float = 1.0
    top_k: int | None = None
    top_p: float | None = None

    def __post_init__(self) -> None:
        if not 0 <= self.temperature < float("inf"):
            raise InputError(f"temperature={self.temperature} must be at least 0; 0 takes the likeliest base")
        if self.top_k is not None and self.top_k < 1:
            raise InputError(f"top_k={self.top_k} must be at least 1; leave it out to draw of all four bases")
        if self.top_p is not None and not 0 < self.top_p <= 1:
            raise InputError(f"top_p={self.top_p} must lie above 0 and be at most 1")

    def draw(self, logits: Tensor, uniform: Tensor) -> Tensor:
        """Token ids [B] of logits [B, 16], by the inverse of the distribution at `uniform` [B] in [0, 1)."""
        bases = logits[:, A : T + 1].double()
        if self.temperature == 0:
            return bases.argmax(dim=1) + A
        likely, order = torch.softmax(bases / self.temperature, dim=1).sort(dim=1, descending=True)
        if self.top_k is not None:
            likely[:, self.top_k :] = 0
            likely = likely / likely.sum(dim=1, keepdim=True)
        if self.top_p is not None:
            before = likely.cumsum(dim=1) - likely
            likely = likely * (before < self.top_p)
        ends = likely.cumsum(dim=1)
        place = (ends <= uniform[:, None] * ends[:, -1:]).sum(dim=1, keepdim=True)
        return order.gather(1, place)[:, 0] + A


@dataclass(frozen=True)
class Generated:
    """`bases` drawn behind `prompt`, and the log-likelihood of each in nats under the model itself."""

    name: str
    prompt: str
    bases: str
    log_likelihoods: np.ndarray

    @property
    def sequence(self) -> str:
        """Prompt and bases."""
        return self.prompt + self.bases


def generate_all(
    model: FrozenModel,
    prompts: Sequences,
    bases: int,
    sampling: Sampling,
    *,
    samples: int,
    seed: int,
    column: str | None = None,
    progress: bool = False,
) -> list[Generated]:
    """`generate` for each of `prompts`, in whatever form they came; all are checked before the first is used."""
    if seed < 0:
        raise InputError(f"seed={seed} must be at least 0")
    named = list(read_sequences(prompts, column))
    for prompt in named:
        check_lengths(model, prompt, bases, samples)
    generated: list[Generated] = []
    with Progress("generate", len(named) * samples * bases, "b", shown=progress) as bar:
        for number, prompt in enumerate(named):
            place = (seed, number)
            generated += generate(model, prompt, bases, sampling, samples=samples, seed=place, advance=bar.advance)
    return generated


def generate(
    model: FrozenModel,
    prompt: NamedSequence,
    bases: int,
    sampling: Sampling,
    *,
    samples: int,
    seed: tuple[int, ...],
    advance: Callable[[int], None] = lambda bases: None,
) -> list[Generated]:
    """`samples` continuations of `prompt`, each of `bases` bases, the same for the same `seed`."""
    uniform = np.random.default_rng(seed).random((bases, samples))
    draws = torch.from_numpy(uniform).to(model.device)
    tokens = torch.from_numpy(prompt.tokens.astype(np.int64)).to(model.device).expand(samples, -1)
    drawn = torch.empty((samples, bases), dtype=torch.long, device=model.device)
    likelihoods = torch.empty((samples, bases), device=model.device)
    with model.evaluation():
        online = OnlineModel(model.model, len(prompt) + bases)
        for number in range(bases):
            logits = online(tokens)[:, -1]
            drawn[:, number] = sampling.draw(logits, draws[number])
            tokens = drawn[:, number : number + 1]
            likelihoods[:, number] = logits.log_softmax(dim=1).gather(1, tokens)[:, 0]
            advance(samples)
    read = decode(prompt.tokens)
    rows: Any = zip(drawn.cpu().numpy(), likelihoods.cpu().numpy(), strict=True)
    return [
        Generated(f"{prompt.name}/{number + 1}", read, decode(row), values) for number, (row, values) in enumerate(rows)
    ]


def check_lengths(model: FrozenModel, prompt: NamedSequence, bases: int, samples: int) -> None:
    """Raise InputError where so many bases cannot be drawn behind `prompt`."""
    prompt.check(None, "refuse")
    if bases < 1 or samples < 1:
        raise InputError(f"bases={bases} and samples={samples} must be at least 1")
    if len(prompt) + bases > model.config.l_max:
        raise InputError(
            f"prompt {prompt.name!r} of {len(prompt):,} bases and {bases:,} new ones exceed the model's l_max of "
            f"{model.config.l_max:,} tokens; ask for fewer bases, or give the end of the prompt"
        )
