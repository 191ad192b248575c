"""One layer: norm, Hyena operator, norm, MLP, around a residual stream in fp32."""

from collections.abc import Callable
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.checkpoint import checkpoint

from hyena_ds.model.config import ModelConfig
from hyena_ds.model.dropout import Dropout
from hyena_ds.model.filter import PositionalFeatures
from hyena_ds.model.operator import HyenaOperator
from hyena_ds.ops.long_convolution.dispatch import ConvolutionBackend

ActivationCheckpointing = Literal["none", "mixer", "mlp", "block"]


class Mlp(nn.Module):
    """Linear, GELU by its tanh approximation, linear."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.fc1 = nn.Linear(config.d_model, config.inner_width)
        self.fc2 = nn.Linear(config.inner_width, config.d_model)

    def forward(self, hidden: Tensor) -> Tensor:
        output: Tensor = self.fc2(functional.gelu(self.fc1(hidden), approximate="tanh"))
        return output


class Block(nn.Module):
    """A prenorm layer that carries (hidden, residual); the dropouts before its two norms are `sites` of the model."""

    def __init__(
        self,
        config: ModelConfig,
        features: PositionalFeatures,
        number: int,
        *,
        activation_checkpointing: ActivationCheckpointing,
        convolution: ConvolutionBackend,
    ) -> None:
        super().__init__()
        first_dropout = config.embed_dropout if number == 0 else config.resid_dropout
        self.dropout1 = Dropout(first_dropout, 3 * number)
        self.norm1 = nn.LayerNorm(config.d_model, eps=config.layer_norm_epsilon)
        self.mixer = HyenaOperator(config, features, 3 * number + 1, convolution)
        self.dropout2 = Dropout(config.resid_dropout, 3 * number + 2)
        self.norm2 = nn.LayerNorm(config.d_model, eps=config.layer_norm_epsilon)
        self.mlp = Mlp(config)
        self.replay_mixer = activation_checkpointing in ("mixer", "block")
        self.replay_mlp = activation_checkpointing in ("mlp", "block")

    def forward(
        self, hidden: Tensor, residual: Tensor | None, attention_mask: Tensor | None, keys: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        residual = add_residual(self.dropout1(hidden, keys), residual)
        hidden = self._replayed(self.replay_mixer, self._mix, residual, attention_mask, keys)
        residual = add_residual(self.dropout2(hidden, keys), residual)
        return self._replayed(self.replay_mlp, self._transform, residual), residual

    def _mix(self, residual: Tensor, attention_mask: Tensor | None, keys: Tensor | None) -> Tensor:
        mixed: Tensor = self.mixer(normalised(self.norm1, residual), attention_mask, keys)
        return mixed

    def _transform(self, residual: Tensor) -> Tensor:
        transformed: Tensor = self.mlp(normalised(self.norm2, residual))
        return transformed

    def _replayed(self, replay: bool, function: Callable[..., Tensor], *inputs: Tensor | None) -> Tensor:
        """Call `function`; with `replay`, store its inputs alone and call it again in the backward pass."""
        if not (replay and self.training and torch.is_grad_enabled()):
            return function(*inputs)
        # Reentrant: the other form compares shapes that ZeRO 3 has emptied. Keyed dropout needs no random state.
        random_state = inputs[-1] is None
        output: Tensor = checkpoint(function, *inputs, use_reentrant=True, preserve_rng_state=random_state)
        return output


def normalised(norm: nn.LayerNorm, residual: Tensor) -> Tensor:
    """The norm of the fp32 residual, in the dtype of the weights."""
    normalised: Tensor = norm(residual.to(norm.weight.dtype))
    return normalised


def add_residual(hidden: Tensor, residual: Tensor | None) -> Tensor:
    """The residual stream, kept in fp32 or wider."""
    wide = torch.promote_types(hidden.dtype, torch.float32)
    return hidden.to(wide) if residual is None else residual + hidden.to(wide)
