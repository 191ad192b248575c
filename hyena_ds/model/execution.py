"""How a model is computed: nothing here changes what is computed."""

from dataclasses import dataclass, field
from typing import Literal

import torch
from torch import Tensor

from hyena_ds.model.filter_reuse import FilterReuse
from hyena_ds.model.sequence import SequencePart, WholeSequence
from hyena_ds.ops.long_convolution.dispatch import ConvolutionBackend

ActivationCheckpointing = Literal["none", "mixer", "mlp", "block"]

KEPT_FILTER_BYTES = 2**28


@dataclass(frozen=True)
class Execution:
    """The settings that every layer of a model shares.

    Attributes:
        activation_checkpointing: what is computed once more in the backward pass instead of being kept. `mixer` keeps
            of a Hyena operator its input and what enters and leaves each long convolution; `mlp` keeps of an MLP its
            input; `block` keeps both as `mixer` does, and nothing of the MLP.
        offload: keep the input of each mixer in the host's memory.
        tile_tokens: tokens that are computed at a time where something is computed once more.
        kept_filter_bytes: filters of a layer up to this size are kept for the backward pass, by every policy, where
            the convolution does not keep their spectra.
        filter_reuse: which filters the micro-batches of a step share.
        convolution: backend of the long convolution.
        sequence: the part of each sequence that this process holds.
    """

    activation_checkpointing: ActivationCheckpointing = "none"
    offload: bool = False
    tile_tokens: int = 2**18
    kept_filter_bytes: int = KEPT_FILTER_BYTES
    filter_reuse: FilterReuse = field(default_factory=FilterReuse)
    convolution: ConvolutionBackend = "auto"
    sequence: SequencePart = field(default_factory=WholeSequence)

    def tile(self, batch: int) -> int:
        """Positions of a tile of `batch` sequences."""
        return max(1, self.tile_tokens // batch)


@dataclass(frozen=True)
class Positions:
    """What a layer knows of a batch besides its values [B, L/P].

    Attributes:
        start: the first position's place in the whole sequence.
        keys: of dropout, int64 [B].
        mask: 1 at real positions [B, halo + L/P]; the halo are the positions before `start` that are known.
    """

    start: int
    keys: Tensor | None = None
    mask: Tensor | None = None
    halo: int = 0

    def real(self, first: int, length: int) -> Tensor | None:
        """The mask [B, length] from the position `first` of the whole sequence on."""
        if self.mask is None:
            return None
        return self.mask.narrow(1, first - self.start + self.halo, length)


def positions_of(
    sequence: SequencePart, width: int, length: int, mask: Tensor | None, keys: Tensor | None
) -> Positions:
    """The positions of this rank's `length`, with the mask of the `width` positions before them."""
    start = sequence.rank * length
    if mask is None:
        return Positions(start, keys)
    mask, halo = sequence.with_halo(mask.float(), width)
    if halo is None:
        return Positions(start, keys, mask)
    return Positions(start, keys, torch.cat([halo, mask], dim=1), halo.shape[1])
