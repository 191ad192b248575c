"""Labels as numbers: which classes there are, in which order, and each example's target."""

import math
from collections.abc import Iterable, Sequence

import numpy as np

from hyena_ds.downstream.example import Example
from hyena_ds.downstream.task import TaskConfig
from hyena_ds.errors import InputError, listed
from hyena_ds.hub.task_head import TaskKind

# The target of a position that is not scored, written "." in a label of one class a position.
IGNORED = -100
SEPARATORS = ";, |"


def find_classes(task: TaskConfig, training: Sequence[Example]) -> tuple[str, ...]:
    """The names of the outputs: those of the task, of several label columns, or found in the training labels.

    The last are sorted, as numbers where all are whole numbers, so that neither files nor directories decide the order.
    """
    columns = training[0].columns
    if columns and task.kind not in ("regression", "multilabel"):
        raise InputError(
            f"data.label names {len(columns)} columns ({listed(columns)}), of which task.kind={task.kind} takes "
            "one; name it, or set task.kind to multilabel or regression"
        )
    if task.classes is not None:
        return task.classes
    if task.kind == "regression" or columns:
        return columns or ("value_0",)
    found = {name for example in training for name in _names(example.label[0], task.kind)} - {".", ""}
    classes = tuple(sorted(found, key=int if all(map(_is_whole, found)) else str))
    if len(classes) < 2:
        raise InputError(
            f"the training labels hold one class, {', '.join(classes) or 'none'}; a task needs at least two"
        )
    if task.kind == "binary" and len(classes) > 2:
        raise InputError(
            f"task.kind=binary and the training labels hold {len(classes)} classes, {listed(classes)}; "
            f"set task.kind to {'multiclass' if all(map(_is_name, classes)) else 'regression'}"
        )
    return classes


def _is_whole(text: str) -> bool:
    return text.removeprefix("-").isdecimal()


def _is_name(text: str) -> bool:
    """Whether it is no fraction, which nobody would call a class."""
    try:
        return float(text).is_integer()
    except (ValueError, OverflowError):
        return True


def _names(label: str, kind: TaskKind) -> list[str]:
    """The classes that one label names: itself, several, or one a position."""
    if kind in ("binary", "multiclass"):
        return [label]
    for separator in SEPARATORS:
        label = label.replace(separator, " ")
    if kind == "position" and " " not in label.strip():
        return list(label.strip())
    return label.split()


class LabelEncoder:
    """Targets of examples: class numbers int64 [], or [L] by position; several labels uint8 [C]; values fp32 [C].

    Raises InputError, naming the example, for a label that is none of the classes.
    """

    def __init__(self, task: TaskConfig, classes: Sequence[str]) -> None:
        self._kind, self._classes = task.kind, tuple(classes)
        self._numbers = {name: number for number, name in enumerate(classes)} | {".": IGNORED}

    def encode(self, examples: Iterable[Example]) -> list[np.ndarray]:
        """The target of each example."""
        return [self._target(example) for example in examples]

    def _target(self, example: Example) -> np.ndarray:
        match self._kind:
            case "regression":
                return self._values(example)
            case "multilabel":
                return self._several(example)
            case "position":
                return self._positions(example)
        return np.array(self._number(example.label[0], example))

    def _number(self, name: str, example: Example) -> int:
        if name not in self._numbers or (name == "." and self._kind != "position"):
            raise InputError(
                f"{example.place}: class {name!r} is none of those of the training set ({listed(self._classes)}); "
                "remove the example, or name all classes in task.classes"
            )
        return self._numbers[name]

    def _values(self, example: Example) -> np.ndarray:
        try:
            values = [float(text) for text in example.label]
        except ValueError:
            values = [math.nan]
        if len(values) != len(self._classes) or not all(map(math.isfinite, values)):
            shown = ", ".join(example.label)
            raise InputError(f"{example.place}: label {shown!r} is not {len(self._classes)} finite numbers; mend it")
        return np.array(values, dtype=np.float32)

    def _several(self, example: Example) -> np.ndarray:
        if len(example.label) == 1:
            target = np.zeros(len(self._classes), dtype=np.uint8)
            target[[self._number(name, example) for name in _names(example.label[0], "multilabel")]] = 1
            return target
        truths = {"0": 0, "1": 1, "0.0": 0, "1.0": 1, "false": 0, "true": 1}
        if len(example.label) != len(self._classes) or any(text.lower() not in truths for text in example.label):
            raise InputError(
                f"{example.place}: the {len(self._classes)} label columns must each hold 0 or 1; mend them"
            )
        return np.array([truths[text.lower()] for text in example.label], dtype=np.uint8)

    def _positions(self, example: Example) -> np.ndarray:
        names = _names(example.label[0], "position")
        if len(names) != len(example.tokens):
            raise InputError(
                f"{example.place}: {len(names):,} labels for {len(example.tokens):,} bases; "
                "give one a base, '.' where none is scored"
            )
        return np.array([self._number(name, example) for name in names])
