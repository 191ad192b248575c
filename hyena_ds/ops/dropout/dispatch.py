"""The public function of dropout by keys."""

from torch import Tensor

from hyena_ds.ops.dropout.reference import plainly_dropped
from hyena_ds.ops.fused import fused_kernels


def dropped(value: Tensor, keys: Tensor, site: int, probability: float, start: int) -> Tensor:
    """`value` [B, L, D] where `keep_mask` keeps it, divided by 1 - `probability`, and 0 elsewhere; no autograd."""
    if kernels := fused_kernels("dropout", value):
        fused: Tensor = kernels.fused_dropped(value, keys, site, probability, start)
        return fused
    return plainly_dropped(value, keys, site, probability, start)
