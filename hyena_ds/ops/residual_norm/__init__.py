"""The residual stream and its layer norm."""

from hyena_ds.ops.residual_norm.dispatch import add_residual, added_norm, residual_norm

__all__ = ["add_residual", "added_norm", "residual_norm"]
