"""The short convolution of the projections with the gates around the long convolution."""

from hyena_ds.ops.short_convolution.dispatch import short_convolution_finish, short_convolution_gate
from hyena_ds.ops.short_convolution.room import GradientRoom

__all__ = ["GradientRoom", "short_convolution_finish", "short_convolution_gate"]
