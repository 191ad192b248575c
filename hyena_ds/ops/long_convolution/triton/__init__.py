"""The right-angle convolution on a GPU by Triton kernels: one pass for short sequences, three for long ones."""

from hyena_ds.ops.long_convolution.dispatch import Kernels
from hyena_ds.ops.long_convolution.triton.backend import triton_convolution, triton_gradients
from hyena_ds.ops.long_convolution.triton.plan import LONGEST, SHORTEST

KERNELS = Kernels(triton_convolution, triton_gradients, SHORTEST, LONGEST)
