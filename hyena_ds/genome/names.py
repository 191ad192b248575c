"""Sequence names and their aliases: `20` is `chr20`, `chrM` is `MT`."""

import difflib
from collections.abc import Iterable

from hyena_ds.errors import InputError

MITOCHONDRION = {"m", "mt", "mito"}


def canonical(name: str) -> str:
    """The form that all spellings of one chromosome share: without `chr`, lower case, `mt` for the mitochondrion."""
    bare = name.lower().removeprefix("chr")
    return "mt" if bare in MITOCHONDRION else bare


def near_names(name: str, known: Iterable[str], count: int = 3) -> str:
    """The `known` names most like `name`, for an error message."""
    names = list(known)
    nearest = difflib.get_close_matches(name, names[:10_000], n=count, cutoff=0.3)
    return ", ".join(nearest or names[:count])


def resolve(name: str, known: Iterable[str]) -> str:
    """The one of `known` that `name` means: itself, else its only alias.

    Raises InputError with near names where there is none, with all candidates where there are several.
    """
    names = list(known)
    if name in names:
        return name
    matches = [candidate for candidate in names if canonical(candidate) == canonical(name)]
    if len(matches) == 1:
        return matches[0]
    if matches:
        raise InputError(f"{name!r} may mean {' or '.join(matches)}; write the one that is meant")
    raise InputError(f"no sequence {name!r}; near names are {near_names(name, names)}")
