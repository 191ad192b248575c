"""The Hyena operator: projections, short convolution, gates and the long convolution between them."""

from torch import Tensor, nn

from hyena_ds.model.config import ModelConfig
from hyena_ds.model.dropout import Dropout
from hyena_ds.model.filter import HyenaFilter, PositionalFeatures
from hyena_ds.ops.long_convolution.dispatch import ConvolutionBackend, long_convolution


class HyenaOperator(nn.Module):
    """y = x0 · (k * (x1 · v)), projected in and out; order N repeats gate and convolution N - 1 times.

    With an attention mask, padded positions are zeroed after the input projection and before each long convolution:
    the two places where they would reach real ones.
    """

    def __init__(
        self, config: ModelConfig, features: PositionalFeatures, site: int, convolution: ConvolutionBackend
    ) -> None:
        super().__init__()
        width = (config.order + 1) * config.d_model
        self.order = config.order
        self.bidirectional = config.bidirectional
        self.convolution = convolution
        self.in_proj = nn.Linear(config.d_model, width)
        self.out_proj = nn.Linear(config.d_model, config.d_model)
        self.short_filter = nn.Conv1d(
            width, width, config.short_filter_order, groups=width, padding=config.short_filter_order - 1
        )
        self.filter_fn = HyenaFilter(config, features)
        self.dropout = Dropout(config.hyena_dropout, site)

    def forward(self, hidden: Tensor, attention_mask: Tensor | None, keys: Tensor | None) -> Tensor:
        """[B, L, D] → [B, L, D]; `attention_mask` [B, L] is 1 at real positions, `keys` [B] are for dropout."""
        length = hidden.shape[1]
        projected = self.in_proj(hidden).transpose(1, 2)  # [B, (N + 1) D, L]
        keep = None if attention_mask is None else attention_mask[:, None, :].to(projected.dtype)
        if keep is not None:
            projected = projected * keep
        first, *gates, value = self.short_filter(projected)[..., :length].chunk(self.order + 1, dim=1)
        filters, biases = self.filter_fn(length)
        for gate, filter, bias in zip(reversed(gates), filters, biases, strict=True):
            value = self.dropout((value * gate).transpose(1, 2), keys).transpose(1, 2)
            if keep is not None:
                value = value * keep
            value = long_convolution(value, filter, bias, backend=self.convolution, bidirectional=self.bidirectional)
        mixed: Tensor = self.out_proj((value * first).transpose(1, 2))
        return mixed
