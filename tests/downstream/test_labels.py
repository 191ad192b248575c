"""Classes keep their order whatever the order of files, and each kind of label becomes its target."""

from collections.abc import Sequence

import numpy as np
import pytest

from hyena_ds.downstream.example import Example, read_bases
from hyena_ds.downstream.labels import LabelEncoder, find_classes
from hyena_ds.downstream.task import TaskConfig
from hyena_ds.errors import InputError


def examples(*labels: str | Sequence[str]) -> list[Example]:
    bases = read_bases("ACGT", "here")
    several = [(label,) if isinstance(label, str) else tuple(label) for label in labels]
    return [Example(bases, label, f"row {number}") for number, label in enumerate(several, start=1)]


def task(kind: str, classes: tuple[str, ...] | None = None) -> TaskConfig:
    return TaskConfig(name="task", kind=kind, classes=classes)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("labels", "order"),
    [
        (["positive", "negative", "positive"], ("negative", "positive")),
        (["10", "9", "2"], ("2", "9", "10")),
        (["b", "a", "10"], ("10", "a", "b")),
    ],
)
def test_classes_are_sorted_and_whole_numbers_as_numbers(labels: list[str], order: tuple[str, ...]) -> None:
    for found in (labels, labels[::-1]):
        assert find_classes(task("multiclass"), examples(*found)) == order


def test_the_task_may_name_the_order() -> None:
    wanted = task("binary", ("positive", "negative"))
    classes = find_classes(wanted, examples("negative", "positive"))
    assert [int(target) for target in LabelEncoder(wanted, classes).encode(examples("negative", "positive"))] == [1, 0]


@pytest.mark.parametrize(
    ("labels", "kind"),
    [(["1", "2", "3"], "multiclass"), (["a", "b", "c"], "multiclass"), (["0.5", "1", "2"], "regression")],
)
def test_more_than_two_labels_tell_the_kind_that_is_meant(labels: list[str], kind: str) -> None:
    with pytest.raises(InputError, match=f"hold 3 classes, .*; set task.kind to {kind}$"):
        find_classes(task("binary"), examples(*labels))


def test_eight_classes_are_shown_and_more_are_hinted_at() -> None:
    for count, shown in ((8, r"1, 2, 3, 4, 5, 6, 7, 8;"), (9, r"1, 2, 3, 4, 5, 6, 7, 8, \.\.\.;")):
        with pytest.raises(InputError, match=f"hold {count} classes, {shown}"):
            find_classes(task("binary"), examples(*map(str, range(1, count + 1))))


def test_targets_of_each_kind() -> None:
    several = LabelEncoder(task("multilabel"), ("TF", "DHS", "HM")).encode(examples("HM;TF", "", "DHS"))
    assert np.array_equal(np.stack(several), [[1, 0, 1], [0, 0, 0], [0, 1, 0]])
    columns = LabelEncoder(task("multilabel"), ("label_0", "label_1")).encode(examples(("0", "1"), ("True", "0")))
    assert np.array_equal(np.stack(columns), [[0, 1], [1, 0]])
    values = LabelEncoder(task("regression"), ("value_0",)).encode(examples("-1.5e-1"))
    assert values[0] == pytest.approx(-0.15)
    positions = LabelEncoder(task("position"), ("0", "1")).encode(examples("01.1", "0 1 . 1"))
    assert all(np.array_equal(target, [0, 1, -100, 1]) for target in positions)
    assert find_classes(task("position"), examples("10.1")) == ("0", "1")


@pytest.mark.parametrize(
    ("kind", "classes", "label", "told"),
    [
        ("multiclass", ("a", "b"), "c", "'c' is none of those of the training set (a, b)"),
        ("multiclass", ("a", "b"), ".", "'.' is none"),
        ("multilabel", ("a", "b"), "a;d", "'d' is none"),
        ("multilabel", ("a", "b"), ("1", "2"), "each hold 0 or 1"),
        ("regression", ("v",), "nan", "'nan' is not 1 finite numbers"),
        ("position", ("0", "1"), "011", "3 labels for 4 bases"),
    ],
)
def test_bad_labels_are_named(kind: str, classes: tuple[str, ...], label: str | tuple[str, ...], told: str) -> None:
    with pytest.raises(InputError) as caught:
        LabelEncoder(task(kind), classes).encode(examples(label))
    assert told in str(caught.value)
    assert str(caught.value).startswith("row 1: ")


@pytest.mark.parametrize(
    ("kind", "labels", "told"), [("binary", ["a", "b", "c"], "3 classes"), ("binary", ["a", "a"], "one class, a")]
)
def test_a_wrong_number_of_classes_is_refused(kind: str, labels: list[str], told: str) -> None:
    with pytest.raises(InputError, match=told):
        find_classes(task(kind), examples(*labels))
