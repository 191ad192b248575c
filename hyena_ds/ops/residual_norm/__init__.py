"""The residual stream and its layer norm."""

from hyena_ds.ops.residual_norm.dispatch import added_norm, residual_norm, with_added

__all__ = ["added_norm", "residual_norm", "with_added"]
