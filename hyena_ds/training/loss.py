"""The next-token loss as a sum, so that how a step is split never changes it."""

from torch import Tensor, nn

from hyena_ds.data.batch import inputs_and_targets, valid_targets
from hyena_ds.model.sequence import SequencePart, own_positions


def token_loss_sum(
    module: nn.Module, tokens: Tensor, sequence: SequencePart, *, ignore_n: bool, dropout_keys: Tensor | None = None
) -> Tensor:
    """Cross-entropy in nats, fp32 scalar, summed over the targets that count of this rank's positions.

    Args:
        module: the language model, as itself or under DeepSpeed.
        tokens: whole windows [B, L + 1], the same on all ranks of a sequence group.
        sequence: the part of the windows that this rank computes.
        ignore_n: whether N is no target.
        dropout_keys: [B].
    """
    inputs, targets = (own_positions(sequence, part) for part in inputs_and_targets(tokens.long()))
    nats: Tensor = module(inputs, dropout_keys=dropout_keys, targets=targets)
    return (nats * valid_targets(targets, ignore_n)).sum()
