"""Memory that is free goes back to the system."""

import ctypes
import sys


def release_freed_memory() -> None:
    """Hand back what glibc keeps in the holes between blocks that live on; a long CPU job would grow by them."""
    if sys.platform == "linux":
        trim = getattr(ctypes.CDLL(None), "malloc_trim", None)  # musl has none
        if trim is not None:
            trim(0)
