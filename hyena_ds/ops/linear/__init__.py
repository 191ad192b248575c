"""A linear map."""

from hyena_ds.ops.linear.dispatch import linear

__all__ = ["linear"]
