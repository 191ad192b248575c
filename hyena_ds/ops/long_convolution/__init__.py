"""The long convolution: one function, `long_convolution`, over several backends."""

from importlib.util import find_spec

from hyena_ds.ops.long_convolution import dispatch
from hyena_ds.ops.long_convolution.dispatch import ConvolutionBackend, long_convolution

__all__ = ["ConvolutionBackend", "long_convolution"]

if find_spec("triton"):
    from hyena_ds.ops.long_convolution.triton import KERNELS

    dispatch.kernels = KERNELS
