"""A labelled sequence as the model reads it in context: every base, separator and label token in its place."""

from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np
import torch
from torch import Tensor

from hyena_ds.errors import InputError, listed
from hyena_ds.genome.alphabet import PAD, SEP, A, G, N

LABEL_TOKENS = {2: (A, N), 3: (A, G, N)}

# Bases uint8 [L] and the number of the class.
Labelled = tuple[np.ndarray, int]


def label_tokens(classes: Sequence[str]) -> tuple[int, ...]:
    """The token that stands for each class; raises InputError where none was published."""
    if len(classes) not in LABEL_TOKENS:
        raise InputError(f"{len(classes)} classes ({listed(classes)}) have no published tokens; take 2 or 3")
    return LABEL_TOKENS[len(classes)]


@dataclass(frozen=True)
class Prompt:
    """Tokens uint8 [L]; `labels` [n] are the tokens to say after the positions `asked` [n].

    The last label is the task's; those before it, of the examples that are shown, stand in `tokens` too.
    """

    tokens: np.ndarray
    asked: np.ndarray
    labels: np.ndarray


def lay_out(shown: Sequence[Labelled], asked: Labelled, tokens: Sequence[int]) -> Prompt:
    """X1 [SEP] Y1 [SEP] X2 [SEP] Y2 [SEP] ... X [SEP], where `tokens` stand for the classes Y."""
    pieces: list[np.ndarray] = []
    places, length = [], 0
    for bases, label in (*shown, asked):
        pieces += [bases, np.array([SEP, tokens[label], SEP])]
        length += len(bases) + 3
        places.append(length - 3)
    laid_out = np.concatenate(pieces)[:-2].astype(np.uint8)
    labels = np.array([tokens[label] for _, label in (*shown, asked)])
    return Prompt(laid_out, np.array(places), labels)


def draw_shown(
    by_class: Sequence[np.ndarray], shots: int, generator: np.random.Generator, without: int | None = None
) -> np.ndarray:
    """`shots` of the numbers in each of `by_class`, shuffled; `without` is never among them."""
    drawn = [generator.choice(numbers[numbers != without], shots, replace=False) for numbers in by_class]
    return generator.permutation(np.concatenate(drawn))


@dataclass(frozen=True)
class PromptBatch:
    """Token ids [B, L], padded on the right, which no earlier position sees; row, position and label of what is asked.

    `last` [B] says which of the labels [n] is each row's own.
    """

    tokens: Tensor
    rows: Tensor
    positions: Tensor
    labels: Tensor
    last: Tensor

    def on(self, device: torch.device) -> "PromptBatch":
        """The batch on `device`."""
        return PromptBatch(*(getattr(self, part.name).to(device) for part in fields(self)))


def collate(prompts: Sequence[Prompt]) -> PromptBatch:
    """The batch of some prompts."""
    tokens = np.full((len(prompts), max(len(prompt.tokens) for prompt in prompts)), PAD)
    for row, prompt in zip(tokens, prompts, strict=True):
        row[: len(prompt.tokens)] = prompt.tokens
    counts = [len(prompt.asked) for prompt in prompts]
    return PromptBatch(
        torch.from_numpy(tokens),
        torch.from_numpy(np.repeat(np.arange(len(prompts)), counts)),
        torch.from_numpy(np.concatenate([prompt.asked for prompt in prompts])),
        torch.from_numpy(np.concatenate([prompt.labels for prompt in prompts])),
        torch.from_numpy(np.cumsum(counts) - 1),
    )
