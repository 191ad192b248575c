"""Which examples train, validate and test; the test set never chooses the model."""

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from hyena_ds.downstream.example import Example
from hyena_ds.downstream.task import SplitConfig
from hyena_ds.errors import InputError, listed
from hyena_ds.genome.names import canonical

UNDRAWN = ""
SPLITS = ("train", "valid", "test")
REGION = re.compile(r"^([^:]+)(?::([\d,]+)-([\d,]+))?$")


@dataclass(frozen=True)
class Split:
    """Numbers of the examples of each split, int64 and ascending; `notes` tell what the user should know."""

    train: np.ndarray
    valid: np.ndarray
    test: np.ndarray
    notes: tuple[str, ...] = ()


def split_examples(
    examples: Sequence[Example], config: SplitConfig, *, stratify: bool, fold: int | None = None
) -> Split:
    """The split of the examples, the same in every process.

    Args:
        examples: all of the task.
        config: see there.
        stratify: draw the same share of every label.
        fold: which of `config.folds` is held out.

    Raises InputError where a split that is needed would be empty.
    """
    for key, regions in (("test_regions", config.test_regions), ("valid_regions", config.valid_regions)):
        _check_held(examples, key, regions)
    names = np.array([_named(example, config) for example in examples], dtype="<U8")
    strata = [example.label if stratify else () for example in examples]
    if config.folds is None:
        _draw(names, strata, config.test if "test" not in names else 0.0, "test", config.seed)
    else:
        _hold_out_fold(names, strata, config, fold or 0)
    _draw(names, strata, config.valid if "valid" not in names else 0.0, "valid", config.seed + 1)
    names[names == UNDRAWN] = "train"
    notes = _duplicates(examples, names, drop=config.duplicates == "drop")
    train, valid, test = (np.flatnonzero(names == split) for split in SPLITS)
    for name, chosen in (("train", train), ("valid", valid)):
        if not chosen.size:
            raise InputError(f"the {name} split of {len(examples):,} examples is empty; change the split section")
    return Split(train, valid, test, tuple(notes))


def _check_held(examples: Sequence[Example], key: str, regions: Sequence[str]) -> None:
    """Raises InputError where no example lies in these regions: those that were to test would train."""
    if not regions or any(_overlaps(example, region) for example in examples for region in regions):
        return
    found = sorted({example.interval.sequence for example in examples if example.interval is not None})
    raise InputError(
        f"split.{key}={', '.join(regions)} holds none of the {len(examples):,} examples, which lie on {listed(found)}; "
        "mend it"
    )


def _named(example: Example, config: SplitConfig) -> str:
    """The split that the file, or the example's place in the genome, tells; training examples may still be drawn."""
    for split, regions in (("test", config.test_regions), ("valid", config.valid_regions)):
        if any(_overlaps(example, region) for region in regions):
            return split
    return UNDRAWN if example.split in (None, "train") else str(example.split)


def _overlaps(example: Example, region: str) -> bool:
    found = REGION.match(region)
    if found is None:
        raise InputError(f"split region {region!r} is neither a chromosome nor chromosome:start-end; mend it")
    if example.interval is None:
        raise InputError(f"{example.place}: no coordinates, which split regions need; give chromosome, start and end")
    if canonical(example.interval.sequence) != canonical(found[1]):
        return False
    start, end = (int(text.replace(",", "")) if text else None for text in found.groups()[1:])
    return start is None or end is None or (example.interval.start < end and start < example.interval.end)


def _shuffled_strata(free: np.ndarray, strata: Sequence[tuple[str, ...]], seed: int) -> list[np.ndarray]:
    """The numbers in `free` by stratum, each shuffled."""
    by_stratum: dict[tuple[str, ...], list[int]] = {}
    for number in free.tolist():
        by_stratum.setdefault(strata[number], []).append(number)
    generator = np.random.default_rng(seed)
    return [generator.permutation(by_stratum[key]) for key in sorted(by_stratum)]


def _draw(names: np.ndarray, strata: Sequence[tuple[str, ...]], share: float, split: str, seed: int) -> None:
    """Give `share` of the examples without a split to `split`, at least one where the share is above 0."""
    free = np.flatnonzero(names == UNDRAWN)
    wanted = max(round(share * free.size), 1) if share > 0 else 0
    taken = _interleaved(_shuffled_strata(free, strata, seed))[:wanted]
    names[taken] = split


def _interleaved(parts: Sequence[np.ndarray]) -> np.ndarray:
    """All of the parts, each spread evenly: any first stretch holds the same share of each."""
    places = np.concatenate([(np.arange(part.size) + 0.5) / part.size for part in parts if part.size] or [np.empty(0)])
    numbers = np.concatenate([np.empty(0, dtype=np.int64), *parts]).astype(np.int64)
    return numbers[np.argsort(places, kind="stable")]


def _hold_out_fold(names: np.ndarray, strata: Sequence[tuple[str, ...]], config: SplitConfig, fold: int) -> None:
    """Give one of the folds to validation where there is a test set, else to the test."""
    folds = config.folds or 1
    held_out = "valid" if "test" in names else "test"
    if held_out == "valid":
        names[names == "valid"] = UNDRAWN  # the folds cover all that does not test
    order = _interleaved(_shuffled_strata(np.flatnonzero(names == UNDRAWN), strata, config.seed))
    if order.size < folds:
        raise InputError(f"split.folds={folds} and {order.size} examples; lower it")
    names[np.array_split(order, folds)[fold]] = held_out


def _duplicates(examples: Sequence[Example], names: np.ndarray, *, drop: bool) -> list[str]:
    """A note for each pair of splits that share sequences; with `drop`, those of the earlier split lose their name.

    Windows that stay in their genome are not compared.
    """
    seen: dict[bytes, set[str]] = {}
    digests = [
        hashlib.blake2b(example.tokens.tobytes(), digest_size=16).digest()
        if isinstance(example.tokens, np.ndarray)
        else str(number).encode()
        for number, example in enumerate(examples)
    ]
    for digest, name in zip(digests, names, strict=True):
        seen.setdefault(digest, set()).add(name)
    notes = []
    for first, second in (("train", "valid"), ("train", "test"), ("valid", "test")):
        shared = np.array(
            [name == first and second in seen[digest] for digest, name in zip(digests, names, strict=True)], dtype=bool
        )
        if not shared.any():
            continue
        example = examples[int(np.flatnonzero(shared)[0])].place
        done = f"left out of {first}" if drop else "kept: split.duplicates=drop leaves them out"
        notes.append(f"{int(shared.sum()):,} {first} sequences stand in {second} too (such as {example}); {done}")
        if drop:
            names[shared] = "dropped"
    return notes
