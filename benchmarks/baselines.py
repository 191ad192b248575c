"""What fine-tuning is held against in benchmarks/downstream.py: logistic regression on k-mers and length, and a CNN."""

import copy
import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from torch import Tensor, nn
from torch.nn import functional
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from hyena_ds.downstream.metrics import Predictions, Scores, score
from hyena_ds.downstream.split import SPLITS
from hyena_ds.engine.optimizer_state import average_decay
from hyena_ds.genome.alphabet import A, encode, reverse_complement
from hyena_ds.hub.task_head import TaskKind

CHANNELS, KERNELS, POOL = 128, (11, 7, 5), 4
WARMUP_FRACTION = 0.05
LENGTH_CLASSES = 20
Tensors = tuple[Tensor, ...] | list[Tensor]
# As fine-tuning has them.
WEIGHT_DECAY, CLIPPING = 0.1, 1.0


@dataclass(frozen=True)
class Table:
    """The sequences (0 to 3 are A, C, G, T, all else 4) and class numbers [n] of each split."""

    kind: TaskKind
    bases: dict[str, list[np.ndarray]]
    labels: dict[str, np.ndarray]
    classes: int

    @classmethod
    def read(cls, path: Path, kind: TaskKind) -> "Table":
        """A table of sequence, label and split; the classes are sorted by name."""
        frame = pd.read_parquet(path)
        names = sorted(set(frame["label"]))
        parts = {split: frame[frame["split"] == split] for split in SPLITS}
        bases = {split: [_codes(text) for text in part["sequence"]] for split, part in parts.items()}
        labels = {split: part["label"].map(names.index).to_numpy(copy=True) for split, part in parts.items()}
        return cls(kind, bases, labels, len(names))

    def scores(self, split: str, outputs: np.ndarray) -> Scores:
        """Of outputs [n, C], as fine-tuning is scored."""
        return score(Predictions(self.kind, list(self.labels[split]), list(outputs)))


def _codes(text: str) -> np.ndarray:
    """Bases as the codes of `Table`."""
    tokens = encode(text.encode()).astype(np.int16) - A
    return np.where((tokens >= 0) & (tokens < 4), tokens, 4).astype(np.uint8)


def other_strand(bases: np.ndarray) -> np.ndarray:
    """The reverse complement of codes 0 to 4."""
    turned = reverse_complement(bases + np.uint8(A))
    return (turned - np.uint8(A)).astype(np.uint8)


def kmer_shares(sequences: list[np.ndarray], k: int, *, both_strands: bool) -> np.ndarray:
    """The share of each of 4^k k-mers in each sequence, fp32 [n, 4^k]; k-mers with another letter do not count."""
    table = np.zeros((len(sequences), 4**k), dtype=np.float32)
    for row, bases in zip(table, sequences, strict=True):
        for strand in (bases, other_strand(bases)) if both_strands else (bases,):
            windows = np.lib.stride_tricks.sliding_window_view(strand, k)
            known = windows[(windows < 4).all(axis=1)]
            row += np.bincount(known @ (4 ** np.arange(k)), minlength=4**k)
    shares: np.ndarray = table / np.maximum(table.sum(axis=1, keepdims=True), 1)
    return shares


def kmer_features(table: Table, k: int, *, both_strands: bool) -> dict[str, np.ndarray]:
    """Of each split the shares of k-mers and, of as many classes of like size, the one that a sequence's length is in,
    fp32 [n, 4^k + 20]; 0-mers tell nothing."""
    edges = np.quantile([len(bases) for bases in table.bases["train"]], np.linspace(0, 1, LENGTH_CLASSES + 1)[1:-1])
    features = {}
    for split, several in table.bases.items():
        lengths = np.searchsorted(edges, [len(bases) for bases in several])
        classes = np.eye(LENGTH_CLASSES, dtype=np.float32)[lengths]
        features[split] = np.hstack([kmer_shares(several, k, both_strands=both_strands), classes])
    return features


def kmer_regression(table: Table, features: dict[str, np.ndarray], inverse_penalty: float) -> dict[str, Scores]:
    """Valid and test scores of logistic regression on standardised features."""
    model = make_pipeline(StandardScaler(), LogisticRegression(C=inverse_penalty, max_iter=500))
    model.fit(features["train"], table.labels["train"])
    return {split: table.scores(split, model.predict_log_proba(features[split])) for split in SPLITS[1:]}


class ConvolutionalNetwork(nn.Module):
    """Three convolutions with normalisation, the first two pooled, on sequences [B, L] of one length.

    The largest and the mean of each channel decide, and its value at each place.
    """

    def __init__(self, length: int, classes: int, dropout: float) -> None:
        super().__init__()
        widths = (4, *[CHANNELS] * len(KERNELS))
        self.layers = nn.ModuleList(
            nn.Sequential(nn.Conv1d(before, after, kernel, padding=kernel // 2), nn.BatchNorm1d(after), nn.ReLU())
            for before, after, kernel in zip(widths, widths[1:], KERNELS, strict=False)
        )
        for _ in KERNELS[1:]:
            length = -(-length // POOL)
        self.head = nn.Sequential(nn.Dropout(dropout), nn.Linear((2 + length) * CHANNELS, classes))

    def forward(self, bases: Tensor) -> Tensor:
        """Outputs [B, C] of codes [B, L]; code 4, padding too, is no base."""
        values = functional.one_hot(bases.long(), 5)[..., :4].transpose(1, 2).float()
        for number, layer in enumerate(self.layers):
            values = layer(values)
            if number + 1 < len(self.layers):
                values = functional.max_pool1d(values, POOL, ceil_mode=True)
        outputs: Tensor = self.head(torch.cat([values.amax(dim=2), values.mean(dim=2), values.flatten(1)], dim=1))
        return outputs


@dataclass(frozen=True)
class CnnTraining:
    """As fine-tuning: so many steps of `batch` examples, a score every `score_every`, an end after `patience` worse.

    `average_weights` is the decay of the average that is scored and kept, None where the weights themselves are.
    `cutout` is the largest share of a sequence that is hidden.
    """

    steps: int
    batch: int
    score_every: int
    patience: int
    learning_rate: float
    metric: str
    either_strand: bool
    dropout: float
    seed: int
    average_weights: float | None = None
    cutout: float = 0.0


def _padded(sequences: list[np.ndarray], width: int, device: torch.device) -> Tensor:
    rows = np.full((len(sequences), width), 4, dtype=np.uint8)
    for row, bases in zip(rows, sequences, strict=True):
        row[: len(bases)] = bases
    return torch.from_numpy(rows).to(device)


class CnnRun:
    """A CNN on a table that lies on the device as a whole; where a strand tells nothing, both are read."""

    def __init__(self, table: Table, training: CnnTraining, device: torch.device) -> None:
        torch.manual_seed(training.seed)
        self.table, self.training = table, training
        width = max(len(bases) for several in table.bases.values() for bases in several)
        self.bases = {split: _padded(several, width, device) for split, several in table.bases.items()}
        self.reverse = {
            split: _padded([other_strand(bases) for bases in several], width, device)
            for split, several in table.bases.items()
        }
        self.labels = torch.from_numpy(table.labels["train"]).to(device)
        self.model = ConvolutionalNetwork(width, table.classes, training.dropout).to(device)
        self.scored = self.model
        if (decay := training.average_weights) is not None:
            self.scored = AveragedModel(self.model, multi_avg_fn=average_function(decay), use_buffers=True)
        self.optimizer = torch.optim.AdamW(
            self.model.parameters(), lr=training.learning_rate, weight_decay=WEIGHT_DECAY
        )

    def run(self) -> dict[str, Scores]:
        """Valid and test scores of the best validation step."""
        training, best, worse = self.training, -math.inf, 0
        kept = copy.deepcopy(self.scored.state_dict())
        for step, numbers in enumerate(self._batches(), start=1):
            self._step(step, numbers)
            if step % training.score_every and step < training.steps:
                continue
            value = self._scores("valid")[training.metric]
            better = value > best
            best, worse = (value, 0) if better else (best, worse + 1)
            kept = copy.deepcopy(self.scored.state_dict()) if better else kept
            if worse >= training.patience:
                break
        self.scored.load_state_dict(kept)
        return {split: self._scores(split) for split in SPLITS[1:]}

    def _batches(self) -> list[Tensor]:
        """Numbers of the examples of each step, every one once an epoch."""
        count = len(self.labels)
        epochs = -(-self.training.steps * self.training.batch // count)
        order = torch.cat([torch.randperm(count) for _ in range(epochs)])
        return list(order.to(self.labels.device).split(self.training.batch))[: self.training.steps]

    def _step(self, step: int, numbers: Tensor) -> None:
        self.model.train()
        bases = self.bases["train"][numbers]
        if self.training.either_strand:
            turned = torch.rand(len(numbers), 1, device=bases.device) < 0.5
            bases = torch.where(turned, self.reverse["train"][numbers], bases)
        if self.training.cutout:
            bases = hide_stretches(bases, self.training.cutout)
        for group in self.optimizer.param_groups:
            group["lr"] = self.training.learning_rate * rate_factor(step, self.training.steps)
        self.optimizer.zero_grad()
        functional.cross_entropy(self.model(bases), self.labels[numbers]).backward()
        nn.utils.clip_grad_norm_(self.model.parameters(), CLIPPING)
        self.optimizer.step()
        if isinstance(self.scored, AveragedModel):
            self.scored.update_parameters(self.model)

    @torch.no_grad()
    def _scores(self, split: str) -> Scores:
        self.scored.eval()
        strands = [self.bases[split], self.reverse[split]][: 2 if self.training.either_strand else 1]
        outputs = [torch.cat([self.scored(part) for part in strand.split(256)]) for strand in strands]
        return self.table.scores(split, torch.stack(outputs).mean(dim=0).cpu().double().numpy())


def hide_stretches(bases: Tensor, share: float) -> Tensor:
    """Codes [B, L] with one stretch of each row hidden, of up to this share of it, as fine-tuning's `cutout` does."""
    length = bases.shape[1]
    hidden = (torch.rand(len(bases), 1, device=bases.device) * share * length).long()
    first = (torch.rand(len(bases), 1, device=bases.device) * (length - hidden + 1)).long()
    places = torch.arange(length, device=bases.device)
    return bases.masked_fill((places >= first) & (places < first + hidden), 4)


def average_function(decay: float) -> Callable[[Tensors, Tensors, Any], None]:
    """As fine-tuning's, told the averages, the values and the updates before this one."""

    def move(averages: Tensors, values: Tensors, updates: Any) -> None:
        get_ema_multi_avg_fn(average_decay(decay, int(updates) + 1))(averages, values, updates)

    return move


def rate_factor(step: int, steps: int) -> float:
    """Of the learning rate at step 1, 2, ...: a linear warm-up, then a cosine to a tenth."""
    warmup = max(round(WARMUP_FRACTION * steps), 1)
    if step <= warmup:
        return step / warmup
    return 0.55 + 0.45 * math.cos(math.pi * (step - warmup) / max(steps - warmup, 1))
