"""The short convolution of the projections with the gates around the long convolution."""

from hyena_ds.ops.short_convolution.dispatch import short_convolution_finish, short_convolution_gate

__all__ = ["short_convolution_finish", "short_convolution_gate"]
