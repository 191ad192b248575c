"""The next-token loss as a sum, so that how a step is split never changes it."""

from torch import Tensor
from torch.nn import functional


def token_loss_sum(logits: Tensor, targets: Tensor, counted: Tensor) -> Tensor:
    """Cross-entropy over 16 classes in nats, fp32 scalar, summed over the counted targets.

    Args:
        logits: [B, L, 16].
        targets: [B, L] int64 token ids.
        counted: [B, L] bool; the targets that count.
    """
    losses = functional.cross_entropy(logits.float().flatten(0, 1), targets.flatten(), reduction="none")
    return (losses * counted.flatten()).sum()
