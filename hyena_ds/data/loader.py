"""The steps of a stage, read ahead by background threads."""

from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from types import TracebackType
from typing import Self, TypedDict

import numpy as np

from hyena_ds.data.batch import BatchReader, count_valid
from hyena_ds.data.plan import StepPlan


class Cursor(TypedDict):
    """Where a run stands in its data: the next sample of a stage; `epoch` is for people and follows from it."""

    stage: int
    epoch: int
    sample: int


@dataclass(frozen=True)
class StepBatch:
    """One rank's part of a step: uint8 tokens [B, L + 1] and global sample numbers int64 [B] of each micro-batch.

    `valid` counts this rank's targets that count in the loss, `tokens` its bases.
    """

    step: int
    micro_batches: list[np.ndarray]
    samples: list[np.ndarray]
    valid: int
    tokens: int


class StepLoader:
    """Iterates over steps [first_step, steps) of a stage on one data-parallel rank, `prefetch` steps ahead.

    What comes is the same at any number of `workers` (threads). An error met while reading ahead is raised in the
    iterating thread at the step it belongs to. Use it as a context manager: leaving joins the threads.
    """

    def __init__(
        self,
        reader: BatchReader,
        plan: StepPlan,
        *,
        rank: int,
        steps: int,
        first_step: int = 0,
        ignore_n: bool = True,
        workers: int = 1,
        prefetch: int = 2,
    ) -> None:
        self._reader, self._plan, self._rank, self._ignore_n = reader, plan, rank, ignore_n
        self._steps, self._next_step = steps, first_step
        self._prefetch = max(prefetch, workers)
        self._threads = ThreadPoolExecutor(max_workers=workers, thread_name_prefix="step-loader")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __iter__(self) -> Iterator[StepBatch]:
        ahead: deque[Future[StepBatch]] = deque()
        submitted = self._next_step
        while self._next_step < self._steps:
            while submitted < min(self._steps, self._next_step + self._prefetch):
                ahead.append(self._threads.submit(self._read_step, submitted))
                submitted += 1
            batch = ahead.popleft().result()
            self._next_step += 1
            yield batch

    @property
    def state(self) -> Cursor:
        """The cursor after the last step that was handed out: a loader begun there hands out the next one."""
        stream, sample = self._reader.stream, self._next_step * self._plan.samples
        return {"stage": stream.stage, "epoch": stream.epoch(sample), "sample": sample}

    def close(self) -> None:
        """Drop what was read ahead and join the threads."""
        self._threads.shutdown(wait=True, cancel_futures=True)

    def _read_step(self, step: int) -> StepBatch:
        samples = self._plan.micro_batches(step, self._rank)
        micro_batches = [self._reader.read(part) for part in samples]
        valid = sum(count_valid(tokens, self._ignore_n) for tokens in micro_batches)
        tokens = sum(count_valid(tokens, ignore_n=False) for tokens in micro_batches)
        return StepBatch(step, micro_batches, samples, valid, tokens)
