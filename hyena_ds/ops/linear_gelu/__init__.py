"""A linear map and its GELU."""

from hyena_ds.ops.linear_gelu.dispatch import linear_gelu

__all__ = ["linear_gelu"]
