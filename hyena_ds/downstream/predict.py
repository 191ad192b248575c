"""Outputs of a model for a whole set of examples, shared by all ranks and the same at any number of them."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from hyena_ds.downstream.dataset import ExampleSet
from hyena_ds.downstream.model import TaskModel
from hyena_ds.engine.distributed import sum_over_ranks
from hyena_ds.model.sequence import SequencePart
from hyena_ds.parallel.dimensions import ParallelDimensions


class WholeModel:
    """The forward pass of a model without an engine, in the precision of the run."""

    def __init__(self, model: TaskModel, device: torch.device, *, bf16: bool) -> None:
        self._model, self._device, self._bf16 = model.to(device).eval(), device, bf16

    @torch.no_grad()
    def __call__(self, tokens: Tensor) -> Tensor:
        with torch.autocast(self._device.type, dtype=torch.bfloat16, enabled=self._bf16):
            outputs: Tensor = self._model(tokens)
        return outputs


@dataclass(frozen=True)
class Predictor:
    """Runs `forward` (token ids [B, L] → outputs) over sets; every rank must call it for the same set.

    Every rank runs the same number of forward passes, which ZeRO 3 needs; a rank without an example left runs one that
    does not count. `share` sums a table over the ranks.
    """

    forward: Callable[[Tensor], Tensor]
    sequence: SequencePart
    dimensions: ParallelDimensions
    data_rank: int
    batch: int
    l_max: int
    device: torch.device
    share: Callable[[Tensor], Tensor] = sum_over_ranks

    def outputs(self, found: ExampleSet, outputs: int, *, average_strands: bool) -> list[np.ndarray]:
        """Outputs fp64 [C] of each example, or [L, C] where each position has its own."""
        summed = self._strand(found, outputs, reverse=False)
        if average_strands:
            other = self._strand(found, outputs, reverse=True)
            if found.by_position:
                other = [rows[::-1] for rows in other]
            summed = [(one + two) / 2 for one, two in zip(summed, other, strict=True)]
        return summed

    def _strand(self, found: ExampleSet, outputs: int, *, reverse: bool) -> list[np.ndarray]:
        sizes = [len(tokens) if found.by_position else 1 for tokens in found.tokens]
        ends = np.cumsum(sizes)
        table = torch.zeros(int(ends[-1]), outputs, dtype=torch.float64)
        order, step = found.by_length(), self.batch * self.dimensions.data_parallel_size
        for first in range(0, len(order), step):
            shared = order[first : first + step]
            mine = shared[self.data_rank * self.batch :][: self.batch]
            counted = len(mine) > 0
            chosen = mine if counted else shared[:1]
            width = found.width(shared, found.longest, self.sequence.size, self.l_max)
            rows = self._batch(found, chosen, width, reverse)
            if counted:
                self._fill(table, rows, chosen, ends, sizes, by_position=found.by_position)
        whole = np.split(self.share(table).numpy(), ends[:-1])
        return whole if found.by_position else [rows[0] for rows in whole]

    def _batch(self, found: ExampleSet, chosen: np.ndarray, width: int, reverse: bool) -> Tensor:
        strands = np.full(len(chosen), reverse)
        batch = found.batch(chosen, width, found.longest, strands, chosen)
        return self.forward(torch.from_numpy(batch.tokens).long().to(self.device)).double().cpu()

    def _fill(
        self, table: Tensor, rows: Tensor, chosen: np.ndarray, ends: np.ndarray, sizes: list[int], *, by_position: bool
    ) -> None:
        """Write this rank's rows [B, C] or [B, L/P, C] to where they stand among those of all examples."""
        if not by_position:
            if self.sequence.rank == 0:
                table[torch.from_numpy(chosen)] = rows
            return
        start = self.sequence.rank * rows.shape[1]
        for row, number in zip(rows, chosen, strict=True):
            kept = min(max(sizes[number] - start, 0), rows.shape[1])
            begin = int(ends[number]) - sizes[number] + start
            table[begin : begin + kept] = row[:kept]
