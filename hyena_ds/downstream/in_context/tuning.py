"""Tuning soft tokens, or the whole model, on labels asked in context; and how often its likeliest token is right."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from hyena_ds.downstream.in_context.config import InContextConfig
from hyena_ds.downstream.in_context.model import PromptedModel
from hyena_ds.downstream.in_context.prompt import Labelled, Prompt, PromptBatch, collate, draw_shown, lay_out
from hyena_ds.errors import InputError
from hyena_ds.genome.alphabet import reverse_complement
from hyena_ds.genome.fasta import Say
from hyena_ds.model.dropout import dropout_keys

CLIP_NORM = 1.0
PLATEAU_FACTOR = 0.1


@dataclass(frozen=True)
class PromptSource:
    """Prompts that show `shots` examples of each class of the `training` set before the one that is asked.

    What a prompt shows, and from which strands, is a function of the seed, the epoch and the number of its example;
    only prompts of the training set are read from strands drawn anew (`reverse_complement`).

    Raises InputError where a class has too few examples.
    """

    training: Sequence[Labelled]
    tokens: Sequence[int]
    shots: int
    seed: int
    reverse_complement: bool = False
    by_class: list[np.ndarray] = field(init=False)

    def __post_init__(self) -> None:
        labels = np.array([label for _, label in self.training])
        by_class = [np.flatnonzero(labels == label) for label in range(len(self.tokens))]
        object.__setattr__(self, "by_class", by_class)
        fewest = min(map(len, by_class))
        if fewest <= self.shots:
            raise InputError(f"shots={self.shots} and a class has {fewest:,} training examples; lower it below that")

    def training_prompt(self, number: int, epoch: int) -> Prompt:
        """The prompt of a training example, which is not shown to itself."""
        generator = np.random.default_rng((self.seed, epoch, number))
        numbers = [*draw_shown(self.by_class, self.shots, generator, number), number]
        examples = [self.training[one] for one in numbers]
        if self.reverse_complement:
            strands = generator.random(len(examples)) < 0.5
            examples = [
                (reverse_complement(bases) if reverse else bases, label)
                for (bases, label), reverse in zip(examples, strands, strict=True)
            ]
        return lay_out(examples[:-1], examples[-1], self.tokens)

    def prompts(self, asked: Sequence[Labelled]) -> Iterator[Prompt]:
        """The prompts of another split, always the same."""
        for number, example in enumerate(asked):
            shown = draw_shown(self.by_class, self.shots, np.random.default_rng((self.seed, number)))
            yield lay_out([self.training[one] for one in shown], example, self.tokens)


@dataclass(frozen=True)
class Score:
    """The mean loss over all labels that were asked, in nats; the share of examples whose likeliest token is right."""

    loss: float
    accuracy: float
    examples: int


@dataclass(frozen=True)
class InContextRun:
    """A prompted model with its prompts, on one device."""

    config: InContextConfig
    prompted: PromptedModel
    source: PromptSource
    device: torch.device

    def logits(self, batch: PromptBatch, keys: Tensor | None = None) -> Tensor:
        """As `PromptedModel.forward`, in the precision of the run."""
        precision = self.config.precision
        bf16 = precision == "bf16" or (precision == "auto" and self.device.type == "cuda")
        with torch.autocast(self.device.type, torch.bfloat16, enabled=bf16):
            logits: Tensor = self.prompted(batch, keys)
        return logits

    @torch.no_grad()
    def score(self, asked: Sequence[Labelled]) -> Score:
        """How the model answers another split than the training set."""
        self.prompted.eval()
        loss = right = labels = 0.0
        for batch in self._batches(self.source.prompts(asked), self.config.evaluation_batch):
            logits = self.logits(batch)
            loss += float(functional.cross_entropy(logits, batch.labels, reduction="sum"))
            labels += len(batch.labels)
            right += float((logits.argmax(dim=1) == batch.labels)[batch.last].sum())
        return Score(loss / labels, right / len(asked), len(asked))

    def tune(self, validation: Sequence[Labelled], say: Say) -> int:
        """Tune what trains on the training set; returns the epochs that were done."""
        tuning, generator = self.config.tuning, np.random.default_rng(self.config.seed)
        chosen = generator.permutation(len(self.source.training))[: tuning.examples]
        trained = [tensor for tensor in self.prompted.parameters() if tensor.requires_grad]
        optimizer = torch.optim.AdamW(trained, lr=tuning.learning_rate, weight_decay=0.0)
        plateau = torch.optim.lr_scheduler.ReduceLROnPlateau(optimizer, factor=PLATEAU_FACTOR, patience=0)
        losses: list[float] = []
        best: list[Tensor] = []
        for epoch in range(tuning.epochs):
            self._epoch(generator.permutation(chosen), epoch, optimizer, trained)
            if not tuning.plateau:
                continue
            losses.append(self.score(validation).loss)
            rate = optimizer.param_groups[0]["lr"]
            say(f"epoch {epoch}: validation loss {losses[-1]:.6f} nats at learning rate {rate:.3g}")
            if losses[-1] == min(losses):
                best = [tensor.detach().clone() for tensor in trained]
            plateau.step(losses[-1])
            if sum(losses[-1] >= loss for loss in losses[:-1]) > 1:
                break
        for tensor, value in zip(trained, best, strict=False):  # none without a plateau
            tensor.data.copy_(value)
        return epoch + 1

    def _epoch(
        self, order: np.ndarray, epoch: int, optimizer: torch.optim.Optimizer, trained: Sequence[Tensor]
    ) -> None:
        """One pass; the last step takes what is left."""
        self.prompted.train()
        tuning = self.config.tuning
        prompts = (self.source.training_prompt(int(number), epoch) for number in order)
        batches = -(-len(order) // tuning.batch)
        for number, batch in enumerate(self._batches(prompts, tuning.batch)):
            samples = torch.arange(len(batch.tokens), device=self.device) + number * tuning.batch
            logits = self.logits(batch, dropout_keys(self.config.seed, epoch, samples))
            functional.cross_entropy(logits, batch.labels).backward()
            if (number + 1) % tuning.accumulation == 0 or number + 1 == batches:
                torch.nn.utils.clip_grad_norm_(trained, CLIP_NORM)
                optimizer.step()
                optimizer.zero_grad()

    def _batches(self, prompts: Iterable[Prompt], size: int) -> Iterator[PromptBatch]:
        waiting: list[Prompt] = []
        for prompt in prompts:
            waiting.append(prompt)
            if len(waiting) == size:
                yield collate(waiting).on(self.device)
                waiting = []
        if waiting:
            yield collate(waiting).on(self.device)
