"""The long convolution: one function, `long_convolution`, over several backends."""

from hyena_ds.ops.long_convolution.dispatch import ConvolutionBackend, long_convolution

__all__ = ["ConvolutionBackend", "long_convolution"]
