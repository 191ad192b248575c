"""Which part of the model each kernel of a profiled step belongs to.

Functions of the model are marked while they run; a kernel belongs to the innermost mark around what launched it, and
one of the backward pass to the mark around the forward operation that it differentiates.
"""

import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from enum import StrEnum
from functools import wraps
from typing import Any
from unittest.mock import patch

from torch.profiler import record_function

from hyena_ds.engine.engine import TrainingEngine
from hyena_ds.model import block, language_model, operator
from hyena_ds.model.filter import HyenaFilter
from hyena_ds.training import preflight

MATRIX_PRODUCT = re.compile(r"gemm|nvjet|cutlass|xmma|splitk|aten::(add|b|ba)?mm|mkldnn_linear", re.IGNORECASE)


class Group(StrEnum):
    """A part of the step."""

    GEMM = "GEMM"
    LONG_CONVOLUTION = "long convolution"
    FILTER = "filter"
    SHORT_CONVOLUTION = "short convolution, gate"
    NORM = "norm, residual"
    MLP = "GELU, MLP elementwise"
    EMBEDDING = "embedding"
    LOSS = "loss"
    OPTIMIZER = "optimizer"
    OTHER = "copies, other"


# Where the products of the layers' linear maps run; those of the filter and the head belong to their own groups.
WITH_GEMM = {Group.SHORT_CONVOLUTION, Group.MLP, Group.NORM, Group.OTHER}

MARKS: list[tuple[Any, str, Group]] = [
    (HyenaFilter, "filters", Group.FILTER),
    (block, "exchanged_convolution", Group.LONG_CONVOLUTION),
    (operator, "exchanged_convolution", Group.LONG_CONVOLUTION),
    (operator.HyenaOperator, "forward", Group.SHORT_CONVOLUTION),
    (operator.HyenaOperator, "project", Group.SHORT_CONVOLUTION),
    (operator.HyenaOperator, "signal", Group.SHORT_CONVOLUTION),
    (operator.HyenaOperator, "finish", Group.SHORT_CONVOLUTION),
    (block, "add_residual", Group.NORM),
    (block, "normalised", Group.NORM),
    (block, "add_and_normalise", Group.NORM),
    (language_model, "add_and_normalise", Group.NORM),
    (block.Block, "forward", Group.OTHER),
    (block.Mlp, "forward", Group.MLP),
    (language_model.TokenEmbeddings, "forward", Group.EMBEDDING),
    (language_model.NextTokenHead, "forward", Group.LOSS),
    (preflight, "token_loss_sum", Group.LOSS),
    (TrainingEngine, "apply", Group.OPTIMIZER),
]


@dataclass
class GroupTime:
    """Milliseconds of one part, and of each of its kernels by name, with how often they ran."""

    milliseconds: float = 0.0
    kernels: Counter[str] = field(default_factory=Counter)
    launches: Counter[str] = field(default_factory=Counter)

    def add(self, kernel: str, milliseconds: float) -> None:
        self.milliseconds += milliseconds
        self.kernels[kernel] += milliseconds  # type: ignore[assignment]
        self.launches[kernel] += 1


def _marked(function: Callable[..., Any], group: Group) -> Callable[..., Any]:
    @wraps(function)
    def call(*given: Any, **named: Any) -> Any:
        with record_function(group.value):
            return function(*given, **named)

    return call


@contextmanager
def marked_model() -> Iterator[None]:
    """Inside, the parts of the model leave their marks in a profile."""
    with ExitStack() as stack:
        for owner, name, group in MARKS:
            stack.enter_context(patch.object(owner, name, _marked(getattr(owner, name), group)))
        yield


def group_times(events: Any) -> dict[Group, GroupTime]:
    """What each part of a step took, of the events of a `torch.profiler.profile`: kernels, or on a CPU operations."""
    times: dict[Group, GroupTime] = defaultdict(GroupTime)
    forward = _forward_operations(events)
    annotations = {event.name for event in events if event.is_user_annotation} | {group.value for group in Group}
    on_gpu = any(event.kernels for event in events)
    attributed = 0.0
    for event in events:
        if event.device_type.name != "CPU":
            continue
        for name, milliseconds in _work(event, on_gpu):
            if name not in annotations:
                times[_group(event, name, forward)].add(name, milliseconds)
                attributed += milliseconds
    if on_gpu:
        device = sum(
            event.time_range.elapsed_us()
            for event in events
            if event.device_type.name == "CUDA" and event.name not in annotations
        )
        times[Group.OTHER].add("launched outside any operation", max(0.0, device / 1e3 - attributed))
    return times


def _work(event: Any, on_gpu: bool) -> list[tuple[str, float]]:
    """Names and milliseconds of what an operation itself did."""
    if on_gpu:
        return [(kernel.name, kernel.duration / 1e3) for kernel in event.kernels]
    return [(event.name, event.self_cpu_time_total / 1e3)]


def _forward_operations(events: Any) -> dict[tuple[int, int], Any]:
    """The operation that made each node of the autograd graph, by its thread and the node's number.

    Several operations see one number before the node is made, the last of which makes it.
    """
    made: dict[tuple[int, int], Any] = {}
    for event in sorted(events, key=lambda event: event.time_range.start):
        if event.sequence_nr >= 0 and not event.fwd_thread and event.device_type.name == "CPU":
            made[event.thread, event.sequence_nr] = event
    return made


def _group(event: Any, kernel: str, forward: dict[tuple[int, int], Any]) -> Group:
    group = _innermost_mark(event, forward)
    return Group.GEMM if group in WITH_GEMM and MATRIX_PRODUCT.search(kernel) else group


def _innermost_mark(event: Any, forward: dict[tuple[int, int], Any]) -> Group:
    marks = {group.value: group for group in Group}
    while event is not None:
        if event.name in marks:
            return marks[event.name]
        if event.fwd_thread and event.sequence_nr >= 0:  # a node of the backward graph
            differentiated = forward.get((event.fwd_thread, event.sequence_nr))
            if differentiated is not None:
                return _innermost_mark(differentiated, forward)
        event = event.cpu_parent
    return Group.OTHER
