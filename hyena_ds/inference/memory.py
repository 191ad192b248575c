"""Memory of long jobs: what is free goes back to the system, what stays is not searched for garbage."""

import ctypes
import gc
import sys
from collections.abc import Iterator
from contextlib import contextmanager


def release_freed_memory() -> None:
    """Hand back what glibc keeps in the holes between blocks that live on; a long CPU job would grow by them."""
    if sys.platform == "linux":
        trim = getattr(ctypes.CDLL(None), "malloc_trim", None)  # musl has none
        if trim is not None:
            trim(0)


@contextmanager
def unsearched_heap() -> Iterator[None]:
    """Inside, Python's garbage collector leaves alone what is here already, such as the many objects of torch.

    A job makes objects by the ten thousand, each of which would have it search all of them again.
    """
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()
