"""Dropout whose mask is a function of keys and places."""

from hyena_ds.ops.dropout.dispatch import dropped
from hyena_ds.ops.dropout.reference import keep_mask, mix64

__all__ = ["dropped", "keep_mask", "mix64"]
