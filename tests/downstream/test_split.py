"""Splits cover the examples once, never take validation from the test set, and tell of sequences that repeat."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from hyena_ds.downstream.example import Example, read_bases
from hyena_ds.downstream.read import read_examples
from hyena_ds.downstream.split import Split, split_examples
from hyena_ds.downstream.task import SplitConfig, TaskConfig, TaskDataConfig
from hyena_ds.errors import InputError
from tests.downstream.conftest import OPEN_CHROMATIN, OPEN_CHROMATIN_COLUMNS


@pytest.fixture
def examples(tmp_path: Path) -> list[Example]:
    """40 training intervals of each class and 20 to test."""
    data = TaskDataConfig(train=str(OPEN_CHROMATIN), columns=OPEN_CHROMATIN_COLUMNS)
    return read_examples(TaskConfig(name="open chromatin", kind="binary"), data, tmp_path)


def without_split(examples: list[Example]) -> list[Example]:
    return [replace(example, split=None) for example in examples]


def covered(split: Split) -> list[int]:
    return sorted(np.concatenate([split.train, split.valid, split.test]).tolist())


def share(examples: list[Example], numbers: np.ndarray) -> float:
    return float(np.mean([examples[number].label == ("positive",) for number in numbers]))


def test_validation_is_held_out_of_train_and_never_of_the_test_set(examples: list[Example]) -> None:
    split = split_examples(examples, SplitConfig(valid=0.25), stratify=True)
    assert [len(split.train), len(split.valid), len(split.test)] == [60, 20, 40]
    assert all(examples[number].split == "train" for number in [*split.train, *split.valid])
    assert covered(split) == list(range(120))
    assert share(examples, split.valid) == 0.5


def test_a_fraction_is_the_same_for_a_seed_and_another_for_another(examples: list[Example]) -> None:
    drawn = [
        split_examples(without_split(examples), SplitConfig(test=0.2, seed=seed), stratify=True) for seed in (1, 1, 2)
    ]
    assert np.array_equal(drawn[0].test, drawn[1].test)
    assert not np.array_equal(drawn[0].test, drawn[2].test)
    assert len(drawn[0].test) == 24
    assert share(examples, drawn[0].test) == 0.5
    assert covered(drawn[0]) == list(range(120))


@pytest.mark.parametrize("with_test", [True, False])
@pytest.mark.parametrize("folds", [2, 7])
def test_folds_cover_each_example_once(examples: list[Example], folds: int, with_test: bool) -> None:
    given = examples if with_test else without_split(examples)
    splits = [split_examples(given, SplitConfig(folds=folds), stratify=True, fold=fold) for fold in range(folds)]
    held_out = np.concatenate([split.valid if with_test else split.test for split in splits])
    free = [number for number, example in enumerate(given) if example.split != "test"]
    assert sorted(held_out.tolist()) == free
    for split in splits:
        assert covered(split) == list(range(120))
        assert not with_test or len(split.test) == 40
        assert share(examples, split.valid if with_test else split.test) == pytest.approx(0.5, abs=0.05)


def test_regions_split_by_chromosome_and_position(examples: list[Example]) -> None:
    config = SplitConfig(test_regions=("X",), valid_regions=("chr20:1-30,000,000",))
    split = split_examples(without_split(examples), config, stratify=True)
    assert {examples[number].interval.sequence for number in split.test} == {"chrX"}  # type: ignore[union-attr]
    assert all(examples[number].interval.start < 30_000_000 for number in split.valid)  # type: ignore[union-attr]
    assert all(examples[number].interval.start > 29_990_000 for number in split.train)  # type: ignore[union-attr]
    assert min(map(len, (split.train, split.valid, split.test))) > 0
    for key, regions in (("test_regions", ("chr21",)), ("valid_regions", ("20:63,000,000-63,000,001", "21"))):
        message = rf"split\.{key}={', '.join(regions)} holds none of the .* examples, which lie on chr20, chrX; mend it"
        with pytest.raises(InputError, match=message):
            split_examples(without_split(examples), SplitConfig(**{key: regions}), stratify=True)
    with pytest.raises(InputError, match="no coordinates"):
        split_examples([replace(example, interval=None) for example in examples], config, stratify=True)


def test_duplicates_across_splits_are_told_and_dropped_on_request(examples: list[Example]) -> None:
    copy = next(example for example in examples if example.split == "train")
    given = [*examples, replace(copy, split="test", place="a copy")]
    told = split_examples(given, SplitConfig(seed=3), stratify=True)
    (note,) = told.notes
    assert "1 " in note
    assert "stand in test too" in note
    assert copy.place in note
    dropped = split_examples(given, SplitConfig(seed=3, duplicates="drop"), stratify=True)
    assert covered(dropped) == [number for number in range(121) if given[number] is not copy]
    assert not split_examples(examples, SplitConfig(seed=3), stratify=True).notes


def test_an_empty_split_is_refused() -> None:
    only = [Example(read_bases("ACGT", "here"), ("a",), "here", split="test")]
    with pytest.raises(InputError, match="train split of 1 examples is empty"):
        split_examples(only, SplitConfig(), stratify=True)
