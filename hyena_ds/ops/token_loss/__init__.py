"""The cross-entropy of the next token from hidden states."""

from hyena_ds.ops.token_loss.dispatch import fused_token_loss_serves, token_loss

__all__ = ["fused_token_loss_serves", "token_loss"]
